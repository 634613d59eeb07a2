"""Whatever could change what a test sees changes a spare's key, and what could not does not."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pytest_isolated_emr import settings, spare_key
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.environment import holds_secret, is_of_jvm
from pytest_isolated_emr.spark.wiring import SparkWiring

Key = Callable[..., str]
#: Changes something, given the user's directory and that of the project; returns arguments of a key.
Change = Callable[[Path, Path], dict[str, object]]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """The user's own configuration of Spark."""
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.my.setting 1\n")
    (conf / "log4j2.properties").write_text("rootLogger.level = ${env:MY_LEVEL}\n")
    return conf


@pytest.fixture(scope="module")
def configs() -> dict[tuple[str, ...], pytest.Config]:
    """pytest's configurations, by their arguments: each takes longer than all else here."""
    return {}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all, as the configurations name it."""
    project = tmp_path_factory.mktemp("suite") / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    return project


@pytest.fixture
def key(
    conf: Path,
    tmp_path: Path,
    project: Path,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    configs: dict[tuple[str, ...], pytest.Config],
) -> Key:
    """Return the key of a run in a project."""
    packages = tmp_path / "own-packages"
    packages.mkdir()
    monkeypatch.syspath_prepend(packages)
    usual = {name: value for name, value in os.environ.items() if name != "CI"}

    def key(*arguments: str, cwd: Path = project, **variables: str) -> str:
        monkeypatch.chdir(cwd)
        environ = usual | {"SPARK_CONF_DIR": str(conf)} | variables
        if arguments not in configs:
            configs[arguments] = pytester.parseconfig(
                "--isolated-emr", "--isolated-emr-warm=always", *arguments
            )
        config = configs[arguments]
        chosen = settings.read_settings(config, environ)
        return SparkWiring(chosen, environ).key_of_spare(config)

    return key


@contextmanager
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@contextmanager
def limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextmanager
def processor() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize("change", [umask, limit, processor])
def test_it_changes_with_what_processes_inherit(change, key):
    before = key()
    with change():
        assert key() != before
    assert key() == before


def _in_conf(name: str, text: str) -> Change:
    def change(user: Path, _project: Path) -> dict[str, object]:
        (user / "conf" / name).write_text(text)
        return {}

    return change


def _new_package(user: Path, _project: Path) -> dict[str, object]:
    (user / "own-packages" / "new.dist-info").mkdir()
    return {}


def _another_directory(_user: Path, project: Path) -> dict[str, object]:
    (project / "deeper").mkdir()
    return {"cwd": project / "deeper"}


def _made_anew(_user: Path, project: Path) -> dict[str, object]:
    """The same name: a JVM that was started in the old one would be nowhere."""
    project.rename(project.with_name("old"))
    project.mkdir()
    return {}


def _with(*arguments: str, **options: str) -> Change:
    return lambda _user, _project: {"arguments": arguments, **options}


CHANGES = {
    "region": _with("--isolated-emr-region=eu-west-3"),
    "region of the environment": _with(AWS_DEFAULT_REGION="eu-west-3"),
    "release": _with("--isolated-emr-release=emr-spark-8.1.0"),
    "Spark's UI": _with("--isolated-emr-spark-ui"),
    "patience": _with("--isolated-emr-start-timeout=77"),
    "workers": _with("-n", "2"),
    "other workers": _with("-n", "3"),
    "distribution": _with("-n", "2", "--dist", "loadscope"),
    "options of the JVM": _with(JAVA_TOOL_OPTIONS="-Da=1"),
    "options of spark-submit": _with(PYSPARK_SUBMIT_ARGS="--driver-memory 1g pyspark-shell"),
    "Python of workers": _with(PYSPARK_PYTHON="/usr/bin/python3"),
    "module path": _with(PYTHONPATH=os.environ.get("PYTHONPATH", "") + ":/nowhere"),
    "time zone": _with(TZ="Asia/Tokyo"),
    "language": _with(LC_ALL="C.UTF-8"),
    "temporary files": _with(TMPDIR="/var/tmp"),
    "Log4j's own variables": _with(LOG4J_LEVEL="debug"),
    "variable in the configuration": _with(MY_LEVEL="debug"),
    "spark-defaults.conf": _in_conf("spark-defaults.conf", "spark.my.setting 2\n"),
    "log4j2.properties": _in_conf("log4j2.properties", "rootLogger.level = ${env:MY_LEVEL}  \n"),
    "hive-site.xml": _in_conf("hive-site.xml", "<configuration/>"),
    "other configuration": _with(SPARK_CONF_DIR="/nowhere"),
    "installed package": _new_package,
    "working directory": _another_directory,
    "directory made anew": _made_anew,
}

SAME = {
    "nothing": _with(),
    "what is kept": _with("--isolated-emr-retention=all"),
    "buckets, which are made when it is claimed": _with("-o", "isolated_emr_buckets=one"),
    "how long it waits": _with("--isolated-emr-spare-idle=3"),
    "how long a run waits for room": _with("--isolated-emr-wait=3"),
    "tests": _with("-k", "something", "-x", "-v", "--durations=3"),
    "another variable": _with(MY_SETTING="1", COLUMNS="77"),
    "user's keys": _with(AWS_ACCESS_KEY_ID="AKIA4Q3TXMPLR7WVN2HE", AWS_PROFILE="dev"),
}


def _key_after(change: Change, key: Key, user: Path, project: Path) -> str:
    options = change(user, project)
    arguments = options.pop("arguments", ())
    return key(*arguments, **options)  # type: ignore[misc]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_changes_with(change, key, tmp_path, project):
    before = key()
    assert _key_after(change, key, tmp_path, project) != before


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_it_stays_the_same_with(change, key, tmp_path, project):
    before = key()
    assert _key_after(change, key, tmp_path, project) == before


def test_a_configuration_that_cannot_be_read_is_no_failure(key, conf):
    (conf / "link").symlink_to("nowhere")
    (conf / "directory").mkdir()
    before = key()
    assert len(before) == 32
    assert before == key()


def test_every_setting_is_in_it_or_named_as_none_of_a_spares():
    assert set(spare_key._NOT_OF_SPARE) < {field.name for field in fields(Settings)}
    # Those of a backend without spares.
    assert {"retention", "buckets", "warm", "wait", "spare_idle", "emr"} == set(spare_key._NOT_OF_SPARE)


@pytest.mark.parametrize(
    "name", ["PATH", "HOME", "LC_ALL", "LD_PRELOAD", "JAVA_HOME", "_JAVA_OPTIONS", "SPARK_X"]
)
def test_a_jvm_reads_these_at_its_start(name):
    assert is_of_jvm(name)


@given(st.text(st.characters(codec="ascii", categories=["Lu", "Nd"], include_characters="_"), min_size=1))
@hypothesis_settings(max_examples=200)
def test_what_the_jvm_needs_is_known_by_the_whole_name(name):
    assert not is_of_jvm(f"MY_{name}_PATH") or "JAVA" in name
    assert is_of_jvm(f"SPARK_{name}")
    assert is_of_jvm(f"LC_{name}")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPARK_AUTH_SECRET", "x"),
        ("PYSPARK_DB_PASSWORD", "x"),
        ("HADOOP_TOKEN_FILE", "/x"),
        ("spark.hadoop.my.Access.Key", "x"),
        ("JAVA_TOOL_OPTIONS", "-Xmx1g -Djavax.net.ssl.trustStorePassword=changeit"),
        ("PYSPARK_SUBMIT_ARGS", "--conf spark.ssl.keyPassword=x pyspark-shell"),
        ("spark.jars.repositories", "https://me:word@maven.example.com/"),
    ],
)
def test_it_sounds_like_a_secret(name, value):
    assert holds_secret(name, value)
    assert not holds_secret(name, "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PATH", "/home/me/tokenizer/bin:/usr/bin"),
        ("spark.jars", "https://maven.example.com/a@b.jar"),
        ("spark.app.name", "secretary"),
        ("JAVA_TOOL_OPTIONS", "-Dpath=/secrets/x"),
    ],
)
def test_it_does_not(name, value):
    assert not holds_secret(name, value)


@pytest.mark.parametrize(
    "variables",
    [
        {"CI": "true"},
        {"ISOLATED_EMR_PROCESS_OF": "20261127t043215-a81125"},
        {"ISOLATED_EMR_SESSION": "1:/somewhere"},
    ],
    ids=str,
)
def test_nothing_is_left_there_unless_asked_for(pytester, variables):
    chosen = settings.read_settings(pytester.parseconfig(), variables)
    assert not chosen.warm
    asked = pytester.parseconfig("--isolated-emr-warm=always")
    assert settings.read_settings(asked, variables).warm
