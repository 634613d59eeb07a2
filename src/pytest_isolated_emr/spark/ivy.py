"""Runs the Ivy that Spark ships, bounded in time, and says in a few lines why it failed.

Ivy gets settings and a cache of its own each time: a shared Ivy cache that a killed process left half written
is the usual reason for jars that "cannot be resolved" until somebody removes ``~/.ivy2`` by hand.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_isolated_emr.spark.installation import SparkInstallation
from pytest_isolated_emr.spark.java import Java

#: The bound on one run of Ivy. The AWS bundle that some packages ask for is 700 MB, so it is a long one; a
#: network that does not answer is noticed long before, by the time-outs of single requests.
MOST_SECONDS = 1200.0

_CONNECT_MS = 4_000
_READ_MS = 15_000

#: As Spark names them, so that a jar is called the same wherever it came from.
_RETRIEVE_PATTERN = "[organization]_[artifact]-[revision](-[classifier]).[ext]"

_TELLING = re.compile(
    r"Server access error|Host \S+ not found|timed out|: not found$|NOT FOUND|download failed|FAILED"
    r"|invalid sha1|No space left|Permission denied|Exception|Error:|did not end in|configuration not found"
)


@dataclass(frozen=True)
class Module:
    """A module to resolve.

    :param group: its group, which Ivy calls organisation.
    :param name: its name.
    :param version: its version.
    :param transitive: whether what it depends on is wanted too.
    """

    group: str
    name: str
    version: str
    transitive: bool = True

    def __str__(self) -> str:
        return f"{self.group}:{self.name}:{self.version}"


@dataclass(frozen=True)
class Sources:
    """Where Ivy looks.

    :param mirrors: roots of Maven repositories to use in the place of Maven Central.
    :param extra: roots of Maven repositories to ask besides (``spark.jars.repositories``).
    :param settings: the user's own Ivy settings (``spark.jars.ivySettings``), which then decide alone.
    """

    mirrors: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    settings: Path | None = None

    @property
    def remotes(self) -> int:
        """How many remote repositories a module may be asked of."""
        return len(self.extra) + max(1, len(self.mirrors))


class IvyFailed(Exception):
    """Ivy did not get everything.

    :param lines: those of its own lines that say why.
    :param jar_missing: whether it found a module, but not its jar.
    """

    def __init__(self, lines: Sequence[str], *, jar_missing: bool) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)
        self.jar_missing = jar_missing


def retrieve(
    modules: Sequence[Module],
    *,
    excludes: Sequence[tuple[str, str]],
    sources: Sources,
    installation: SparkInstallation,
    java: Java,
    work: Path,
    target: Path,
    progress: Callable[[str], None],
) -> None:
    """Resolve modules and put their jars into a directory.

    :param modules: what to resolve.
    :param excludes: pairs of glob patterns for group and name of what not to take.
    :param sources: where to look.
    :param installation: the Spark whose Ivy is used.
    :param java: what to run it with.
    :param work: an empty directory of the caller's, for Ivy's files.
    :param target: the directory for the jars.
    :param progress: told what Ivy is doing.
    :raises IvyFailed: with Ivy's reasons.
    """
    target.mkdir(parents=True, exist_ok=True)
    attempts = [False] if sources.settings else [True, False]
    for local in attempts:
        try:
            _attempt(local, modules, excludes, sources, installation, java, work, target, progress)
            return
        except IvyFailed as failed:
            # Maven often keeps the POM of a module without its jar in ~/.m2. Ivy then looks nowhere else for
            # it.
            if not local or not failed.jar_missing:
                raise


def _attempt(
    local: bool,
    modules: Sequence[Module],
    excludes: Sequence[tuple[str, str]],
    sources: Sources,
    installation: SparkInstallation,
    java: Java,
    work: Path,
    target: Path,
    progress: Callable[[str], None],
) -> None:
    ivy = work / "ivy.xml"
    ivy.write_text(_ivy_file(modules, excludes), encoding="utf-8")
    settings = sources.settings
    if settings is None:
        settings = work / "ivysettings.xml"
        settings.write_text(_settings_file(sources, local), encoding="utf-8")
    command = [
        str(java.executable),
        "-cp",
        ":".join(_class_path(installation, whole=sources.settings is not None)),
        "org.apache.ivy.Main",
        # Without it, Ivy keeps failures to access a server for the end.
        "-verbose",
        "-settings",
        str(settings),
        "-ivy",
        str(ivy),
        "-cache",
        str(work / ("cache-local" if local else "cache")),
        "-retrieve",
        str(target / _RETRIEVE_PATTERN),
    ]
    code, lines = _run(command, work, give_up_after=2 * sources.remotes, progress=progress)
    if code != 0:
        raise IvyFailed(_telling(lines), jar_missing=any("[NOT FOUND" in line for line in lines))


def _class_path(installation: SparkInstallation, *, whole: bool) -> list[str]:
    """Return what Ivy needs: two jars start faster than 300, but a user's settings may need more (sftp)."""
    directory = installation.jars_dir
    if whole:
        return [str(directory / "*")]
    return [str(jar) for name in ("ivy", "oro") for jar in sorted(directory.glob(f"{name}-[0-9]*.jar"))]


def _run(
    command: Sequence[str], work: Path, *, give_up_after: int, progress: Callable[[str], None]
) -> tuple[int, list[str]]:
    """Run Ivy to its end, or until it would only wait for a network that does not answer."""
    lines: list[str] = []
    timeouts = 0
    expired = threading.Event()
    with subprocess.Popen(
        command,
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(MOST_SECONDS, expire)
        timer.daemon = True
        timer.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                lines.append(line.rstrip())
                _tell(lines[-1], progress)
                if "timed out" in line:
                    timeouts += 1
                elif "SUCCESSFUL" in line:
                    timeouts = 0
                if timeouts >= give_up_after:
                    process.kill()
            code = process.wait()
        finally:
            timer.cancel()
            process.kill()
    if expired.is_set():
        lines.append(f"Ivy did not end in {MOST_SECONDS:.0f} s")
    return code, lines


def _tell(line: str, progress: Callable[[str], None]) -> None:
    found = re.match(r"downloading \S+/(\S+\.jar) \.\.\.", line)
    if found:
        progress(f"downloading {found[1]}")
        return
    found = re.match(r"\tfound [^#]+#(\S+?);(\S+)", line)
    if found:
        progress(f"resolving {found[1]} {found[2]}")


def _telling(lines: Sequence[str], most: int = 8) -> list[str]:
    """Pick the lines that say why, without Ivy's own repetitions."""
    picked: list[str] = []
    for line in lines:
        text = re.sub(r"^(WARN|ERROR): ", "", line).strip(" \t:")
        if text and _TELLING.search(text) and "CLIENT ERROR" not in text and text not in picked:
            picked.append(text)
    if not picked:
        picked = [line.strip() for line in lines if line.strip()][-most:]
    more = len(picked) - most
    return picked[:most] + ([f"… and {more} more such lines"] if more > 0 else [])


def _ivy_file(modules: Sequence[Module], excludes: Sequence[tuple[str, str]]) -> str:
    lines = [
        '<ivy-module version="2.0">',
        '  <info organisation="isolated-emr" module="jars"/>',
        '  <configurations><conf name="default"/></configurations>',
        # What Spark asks for: a module's "default", or its "runtime" where it has no such configuration.
        '  <dependencies defaultconf="default-&gt;default(runtime)">',
    ]
    for module in modules:
        lines.append(
            f"    <dependency org={_quoted(module.group)} name={_quoted(module.name)} "
            f'rev={_quoted(module.version)} transitive="{str(module.transitive).lower()}"/>'
        )
    for group, name in excludes:
        lines.append(f'    <exclude org={_quoted(group)} module={_quoted(name)} matcher="glob"/>')
    lines += ["  </dependencies>", "</ivy-module>", ""]
    return "\n".join(lines)


def _settings_file(sources: Sources, local: bool) -> str:
    bounded = 'm2compatible="true" usepoms="true" timeoutConstraint="bounded"'
    lines = [
        "<ivysettings>",
        '  <property name="ivy.maven.lookup.sources" value="false"/>',
        '  <property name="ivy.maven.lookup.javadoc" value="false"/>',
        '  <settings defaultResolver="all"/>',
        "  <timeout-constraints>",
        f'    <timeout-constraint name="bounded" connectionTimeout="{_CONNECT_MS}"',
        f'                        readTimeout="{_READ_MS}"/>',
        "  </timeout-constraints>",
        "  <resolvers>",
        '    <chain name="all">',
    ]
    if local:
        lines.append(
            '      <ibiblio name="local-m2" m2compatible="true" usepoms="true" '
            'root="file:${user.home}/.m2/repository/"/>'
        )
    for number, root in enumerate((*sources.extra, *sources.mirrors), start=1):
        url = _quoted(root.rstrip("/") + "/")
        lines.append(f'      <ibiblio name="repository-{number}" root={url} {bounded}/>')
    if not sources.mirrors:
        # Without a root, it is Maven Central.
        lines.append(f'      <ibiblio name="central" {bounded}/>')
    lines += ["    </chain>", "  </resolvers>", "</ivysettings>", ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    # Most runs fetch nothing.
    from xml.sax.saxutils import quoteattr

    return quoteattr(text)
