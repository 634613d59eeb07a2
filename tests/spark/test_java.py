"""Java is found where Spark's launcher finds it, and one that is too old is said to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_isolated_emr.errors import JavaNotFound, JavaTooOld
from pytest_isolated_emr.spark.java import Java, find_java, require_java


def made_java(home: Path, *, release: str | None = None, says: str = "") -> Path:
    """Make a directory that looks like a Java's, for versions that the machine does not have."""
    executable = home / "bin" / "java"
    executable.parent.mkdir(parents=True)
    executable.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    executable.chmod(0o755)
    if release is not None:
        (home / "release").write_text(f'IMPLEMENTOR="Somebody"\nJAVA_VERSION="{release}"\n')
    return home


def test_the_installed_java_is_found_and_fit(java: Java):
    assert java.executable.is_file()
    assert not java.executable.is_symlink()
    assert java.major >= 17
    assert java.version.startswith(str(java.major))


def test_java_home_goes_before_the_path(java: Java, tmp_path: Path):
    other = made_java(tmp_path / "other", release="21.0.1")
    path = {"PATH": str(java.executable.parent)}
    assert find_java({**path, "JAVA_HOME": str(other)}).major == 21
    assert find_java(path) == java


def test_a_link_on_the_path_leads_to_the_java(java: Java, tmp_path: Path):
    (tmp_path / "java").symlink_to(java.executable)
    found = find_java({"PATH": str(tmp_path)})
    assert found.executable == java.executable
    assert found.home == java.executable.parent.parent


def test_a_java_without_a_release_file_is_asked(java: Java, tmp_path: Path):
    script = tmp_path / "bin" / "java"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{java.executable}" "$@"\n')
    script.chmod(0o755)
    assert find_java({"JAVA_HOME": str(tmp_path)}).major == java.major


@pytest.mark.parametrize(
    ("version", "major"),
    [("1.8.0_392", 8), ("11.0.2", 11), ("17", 17), ("21-ea", 21), ("25.0.1", 25)],
)
def test_versions_are_understood(tmp_path: Path, version: str, major: int):
    released = made_java(tmp_path / "released", release=version)
    assert find_java({"JAVA_HOME": str(released)}).major == major
    asked = made_java(tmp_path / "asked", says=f'openjdk version "{version}" 2024-01-01')
    assert find_java({"JAVA_HOME": str(asked)}).major == major


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.2"])
def test_an_old_java_is_refused_with_its_cure(tmp_path: Path, version: str):
    home = made_java(tmp_path, release=version)
    with pytest.raises(JavaTooOld) as caught:
        require_java("4.0.0", {"JAVA_HOME": str(home)})
    said = str(caught.value)
    assert version in said
    assert str(home) in said
    assert "apt-get install openjdk-17-jre-headless" in said
    assert "JAVA_HOME" in said


def test_no_java_at_all(tmp_path: Path):
    with pytest.raises(JavaNotFound, match="apt-get install openjdk-17-jre-headless"):
        find_java({"PATH": str(tmp_path)})


def test_a_java_home_without_java_is_not_passed_over(tmp_path: Path):
    with pytest.raises(JavaNotFound, match="JAVA_HOME is set"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": os.environ["PATH"]})


def test_a_program_that_is_no_java(tmp_path: Path):
    home = made_java(tmp_path, says="Unable to locate a Java Runtime.")
    with pytest.raises(JavaNotFound, match=r"Unable to locate a Java Runtime\."):
        find_java({"JAVA_HOME": str(home)})
