"""The Spark that clusters use: the session's, as its owner describes it to the endpoint and to commands of clusters."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_isolated_emr.lifecycle.private_files import write_private


@dataclass(frozen=True)
class ClusterSpark:
    """What a cluster's Spark is made of.

    :param home: the directory of the Spark to run.
    :param version: its version.
    :param java_home: the directory of the Java to run it with.
    :param python: the interpreter of drivers and workers.
    :param properties: its settings, the session's S3 among them; secrets too.
    :param directory: the directory that the settings' own files are in; a cluster has them in its own instead.
    :param class_path: of the jars that Spark lacks, in the form of ``spark.driver.extraClassPath``.
    :param class_options: Java options by which a JVM with that class path has its classes sooner.
    :param environ: the environment of the session's owner, the session's AWS among it.
    :param jar_cache: the directory of the cache for jars of packages.
    :param repositories: roots of Maven repositories to use in the place of Maven Central.
    :param package: the directory of this package.
    :param program: what runs a module of this package that its name is appended to, and the module's arguments.
    :param image: what the container is made of that it is in; empty on this machine.
    :param connect_ports: those that servers of sessions may listen on; none for whichever the kernel picks.
    :param pip_hint: what to say when pip fails; empty for nothing.
    """

    home: str
    version: str
    java_home: str
    python: str
    properties: dict[str, str] = field(repr=False)
    directory: str
    class_path: str
    class_options: list[str]
    environ: dict[str, str] = field(repr=False)
    jar_cache: str
    repositories: list[str]
    package: str
    program: list[str]
    image: str = ""
    connect_ports: list[int] = field(default_factory=list)
    pip_hint: str = ""

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> ClusterSpark:
        """Read what :meth:`to_message` gave."""
        return cls(**message)

    def to_message(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    def write(self, path: Path) -> None:
        """Write it where only this user can read it.

        :param path: a new file.
        """
        write_private(path, json.dumps(self.to_message()).encode())

    @classmethod
    def read(cls, path: Path) -> ClusterSpark:
        """Read what :meth:`write` wrote."""
        return cls.from_message(json.loads(path.read_text(encoding="utf-8")))
