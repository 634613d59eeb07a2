"""``isolated-emr doctor``: whether this machine can run a session, and what to do if not."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

import click

from pytest_isolated_emr.backends.docker.engine import Engine
from pytest_isolated_emr.errors import DockerLibraryMissing, EngineUnavailable, IsolatedEmrError
from pytest_isolated_emr.lifecycle.memory import available_memory
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.lifecycle.sweep import plan
from pytest_isolated_emr.spark import jars
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.java import find_java, require_java

# One Spark JVM with a gigabyte of heap, Python workers, the endpoint and pytest.
_MEMORY_NEEDED = 2 << 30
_SPACE_ADVISED = 2 << 30

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    :param part: what it is about.
    :param level: ``error`` where no session can work with it.
    :param text: what was found.
    :param cure: what to do, where something is to be done.
    """

    part: str
    level: Level
    text: str
    cure: str = ""


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Check Java, pyspark, jars, disk, memory and leftovers. Exits with 1 if a session cannot work."""
    findings = [_check(part, look) for part, look in _CHECKS.items()]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            click.echo(f"{finding.level:8}{finding.part}: {finding.text}")
            if finding.cure:
                click.echo(f"{'':8}to do: {finding.cure}")
    sys.exit(1 if any(finding.level == "error" for finding in findings) else 0)


def _check(part: str, look: Callable[[], tuple[Level, str, str]]) -> Finding:
    try:
        return Finding(part, *look())
    except IsolatedEmrError as error:
        return Finding(part, "error", f"{error.code}: {error.what} (checked: {error.checked})", error.cure)


def _java() -> tuple[Level, str, str]:
    try:
        java = require_java(find_spark(dict(os.environ)).version)
    except IsolatedEmrError as error:
        if error.code.startswith("IE103"):
            # That is pyspark's finding; Java can be looked at without.
            java = find_java()
        else:
            raise
    return "ok", f"{java.version} at {java.executable}", ""


def _pyspark() -> tuple[Level, str, str]:
    installation = find_spark(dict(os.environ))
    return "ok", f"{installation.version} (Hadoop {installation.hadoop_version}) at {installation.home}", ""


def _state_root() -> tuple[Level, str, str]:
    root = StateRoot.from_environment()
    root.open()
    free = shutil.disk_usage(root.path).free
    text = f"{root.path}, {free / 1e9:.1f} GB free"
    if free < _SPACE_ADVISED:
        return (
            "warning",
            text,
            f"Free some space, or set ISOLATED_EMR_HOME; {_SPACE_ADVISED / 1e9:.0f} GB are advised.",
        )
    return "ok", text, ""


def _jars() -> tuple[Level, str, str]:
    sets = jars.cached_sets(StateRoot.from_environment().jars)
    problems = [problem for jar_set in sets for problem in jars.verify(jar_set, full=True)]
    if problems:
        return (
            "error",
            "; ".join(problems),
            f"Remove {StateRoot.from_environment().jars} and run `isolated-emr fetch`.",
        )
    if not sets:
        return "warning", "none cached: the first run fetches them", "Run `isolated-emr fetch` while online."
    return "ok", f"{len(sets)} sets, verified", ""


def _memory() -> tuple[Level, str, str]:
    available = available_memory()
    text = f"{available / 1e9:.1f} GB available"
    if available < _MEMORY_NEEDED:
        return "warning", text, "Close other programs, or run fewer xdist workers."
    return "ok", text, ""


def _docker() -> tuple[Level, str, str]:
    try:
        engine = Engine.connect()
    except (DockerLibraryMissing, EngineUnavailable) as error:
        # Who does not use that backend needs neither.
        return "ok", f"not for the docker backend: {error.what} ({error.code})", ""
    engine.close()
    return "ok", f"an engine with {engine.memory / 1e9:.1f} GB and {engine.cpus} cores", ""


def _leftovers() -> tuple[Level, str, str]:
    left = [leftover for leftover in plan(StateRoot.from_environment()) if leftover.standing == "dead"]
    if left:
        names = ", ".join(leftover.name for leftover in left)
        return "warning", f"of {len(left)} dead sessions: {names}", "Run `isolated-emr sweep --delete`."
    return "ok", "none", ""


_CHECKS: dict[str, Callable[[], tuple[Level, str, str]]] = {
    "java": _java,
    "pyspark": _pyspark,
    "state": _state_root,
    "jars": _jars,
    "memory": _memory,
    "docker": _docker,
    "leftovers": _leftovers,
}
