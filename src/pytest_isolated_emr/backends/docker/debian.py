"""A small Debian system with Python and Java, made from Debian's packages by mmdebstrap, as a tar stream.

https://manpages.debian.org/mmdebstrap says what the program does and which modes and mirrors it takes.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pytest_isolated_emr.errors import ImageBuildFailed, ImageNotBuildable, IsolatedEmrError
from pytest_isolated_emr.lifecycle.removal import clear_directory

#: What a machine that cannot build an image can do.
BUILD_ELSEWHERE = (
    "or build the image on a Debian machine and move it here with `docker save` and `docker load`"
)

_PROGRAM = "mmdebstrap"
_CHUNK = 1 << 20
_LAST_LINES = 12
# Seconds without a word of mmdebstrap's after which the progress says that it goes on.
_SILENCE = 15
# Seconds that mmdebstrap has to remove what it made, when it is told to end.
_ENDING = 30

Say = Callable[[str], None]


@dataclass(frozen=True)
class Suite:
    """A release of Debian, and what its packages bring.

    :param name: its codename.
    :param python: the minor version of its ``python3``.
    :param java: the major version of its ``default-jre-headless``.
    :param standard_library: packages with those parts of Python's standard library that only this suite has.
    """

    name: str
    python: str
    java: int
    standard_library: tuple[str, ...] = ()


#: What images can be made of. See https://packages.debian.org/python3 and https://packages.debian.org/default-jre-headless.
SUITES = (
    Suite("bookworm", "3.11", 17, ("python3-distutils", "python3-lib2to3")),
    Suite("trixie", "3.13", 21),
)

# default-jre-headless gives Java's directory a name that is the same on every architecture. The time zones are
# zoneinfo's; pip, because bootstrap actions of EMR use it.
_PACKAGES = (
    "python3",
    "python3-gdbm",
    "python3-venv",
    "python3-pip",
    "tzdata",
    "default-jre-headless",
    "procps",
    "ca-certificates",
)
# dpkg's options stay in the image, so that what is installed into it later is as slim. Directories for manuals stay,
# as Java's packages put links there. Without Python's marker file pip installs as it does on EMR: a container's Python
# is nobody else's (https://packaging.python.org/en/latest/specifications/externally-managed-environments/).
_PATHS = (
    "path-exclude=/usr/share/man/*.gz",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*/LC_MESSAGES/*",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/lib/python3*/EXTERNALLY-MANAGED",
)
# For a suite that can be had with /usr merged by a package (bookworm): else Perl comes in to merge it.
_MERGED_USR = Path("/usr/share/mmdebstrap/hooks/maybe-merged-usr")


def suite_named(name: str) -> Suite:
    """Return the suite of a codename.

    :param name: Debian's codename, such as ``bookworm``.
    :raises ImageNotBuildable: if no image is made of it.
    """
    for suite in SUITES:
        if suite.name == name:
            return suite
    raise ImageNotBuildable(
        f"There is no image of a Debian suite {name!r}.",
        checked="--suite",
        cure=f"Choose one of these: {_choices()}.",
    )


def suite_of_python(minor: str) -> Suite:
    """Return the suite whose ``python3`` is of a minor version, as UDFs need the same one on both sides.

    :param minor: such as ``3.11``.
    :raises ImageNotBuildable: if there is none.
    """
    for suite in SUITES:
        if suite.python == minor:
            return suite
    raise ImageNotBuildable(
        f"No Debian suite that images are made of has Python {minor}, which runs here.",
        checked=sys.executable,
        cure=f"Run the tests with one of these, or choose one with --suite: {_choices()}. "
        "Or make an image with your Python from another one, with a Dockerfile.",
    )


def _choices() -> str:
    return ", ".join(f"{suite.name} (Python {suite.python}, Java {suite.java})" for suite in SUITES)


@contextmanager
def debian_system(suite: Suite, mirrors: Sequence[str], say: Say) -> Iterator[Iterator[bytes]]:
    """Make the system and give its tar in pieces; the first one comes when all packages are installed.

    The iterator raises if mmdebstrap fails, so that a tar that ends was whole. mmdebstrap and its files are gone at
    the end of the context, however it ends.

    :param suite: of what.
    :param mirrors: as mmdebstrap takes them; without any, what this machine's apt uses for the suite, else Debian's own.
    :param say: told what is done, with the seconds since the start.
    :raises ImageNotBuildable: if mmdebstrap is not there, or may not do its work here.
    :raises ImageBuildFailed: if it fails.
    """
    program = _find_program()
    try:
        directory = Path(tempfile.mkdtemp(prefix="isolated-emr-image-"))
        # apt's own user passes through it, and without root so does the user namespace's.
        directory.chmod(0o755)
    except OSError as error:
        raise ImageBuildFailed(
            "No temporary directory can be made.",
            checked=f"{tempfile.gettempdir()}: {error}",
            cure="Free some space, or set TMPDIR.",
        ) from error
    try:
        process = subprocess.Popen(
            [
                *_mount_namespace(),
                program,
                *_arguments(suite),
                suite.name,
                "-",
                *(mirrors or _mirrors_of_this_machine(suite)),
            ],
            env=os.environ | {"TMPDIR": str(directory), "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C is for us, who end it in order.
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        log = _Log(process.stderr, say)
        log.start()
        try:
            yield _pieces(process, process.stdout, log)
        finally:
            process.stdout.close()
            _end(process)
            log.join()
            process.stderr.close()
    finally:
        _remove(directory, say)


def _find_program() -> str:
    found = shutil.which(_PROGRAM)
    if found is not None:
        return found
    if sys.platform != "linux":
        raise ImageNotBuildable(
            f"mmdebstrap runs on Linux alone, and this is {sys.platform}.",
            checked="the operating system",
            cure=f"Use an image of a registry, {BUILD_ELSEWHERE}.",
        )
    raise ImageNotBuildable(
        "mmdebstrap is not installed.",
        checked="PATH",
        cure=f"Run `apt-get install mmdebstrap` on Debian or Ubuntu, {BUILD_ELSEWHERE}.",
    )


def _mount_namespace() -> list[str]:
    """Return what to run mmdebstrap by, so that what it mounts is gone with it even if it is killed.

    As root it mounts /proc, /sys and /dev/pts for the packages' scripts. Without root it has a namespace anyway.
    """
    prefix = ["unshare", "--mount", "--"]
    if (
        os.geteuid() != 0
        or subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0
    ):
        # Root of a container may not mount; then mmdebstrap does without.
        return []
    return prefix


def _arguments(suite: Suite) -> list[str]:
    arguments = ["--variant=minbase", f"--include={','.join((*_PACKAGES, *suite.standard_library))}"]
    arguments += [f"--dpkgopt={path}" for path in _PATHS]
    if _MERGED_USR.is_dir():
        arguments.append(f"--hook-directory={_MERGED_USR}")
    return arguments


def _mirrors_of_this_machine(suite: Suite) -> list[str]:
    """Return where this machine's apt gets the suite from: nothing if it is of another one."""
    listed = subprocess.run(
        [
            "apt-get",
            "indextargets",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    releases = [suite.name, f"{suite.name}-updates", f"{suite.name}-security"]
    found = {}
    for line in listed.stdout.splitlines():
        uri, release, component = line.rsplit(" ", 2)
        if release in releases and component == "main":
            found[f"deb {uri} {release} main"] = release
    # Updates alone are no system.
    return list(found) if suite.name in found.values() else []


class _Log(threading.Thread):
    """Reads what mmdebstrap says: passes its stages on, and keeps its last lines."""

    def __init__(self, stream: IO[bytes], say: Say) -> None:
        super().__init__(name="mmdebstrap-log", daemon=True)
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._stream = stream
        self._say = say
        self._beginning = time.monotonic()

    def run(self) -> None:
        """Read to the end."""
        stage = "starting"
        rest = b""
        while True:
            if not select.select([self._stream], [], [], _SILENCE)[0]:
                self._tell(f"still {stage}")
                continue
            data = os.read(self._stream.fileno(), _CHUNK)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in (raw.decode(errors="replace").strip() for raw in lines):
                self.last.append(line)
                if found := re.fullmatch(r"I: ([^/]+)\.\.\.", line):
                    stage = found[1]
                    self._tell(stage)

    def _tell(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._beginning:4.0f} s: {text}")


def _pieces(process: subprocess.Popen[bytes], stream: IO[bytes], log: _Log) -> Iterator[bytes]:
    while piece := stream.read(_CHUNK):
        yield piece
    code = process.wait()
    log.join()
    if code != 0:
        raise _failure(code, "\n".join(log.last))


# What mmdebstrap, apt, dpkg and tar say, the kind of error that it is, what it means, and what to do.
_FAILURES: tuple[tuple[str, type[IsolatedEmrError], str, str], ...] = (
    (
        r"unable to pick chroot mode|newuidmap|newgidmap|/etc/sub[ug]id|unshare\(\) failed|Operation not permitted",
        ImageNotBuildable,
        "mmdebstrap may not make a system here: it needs root or unprivileged user namespaces.",
        "Run it as root, or install uidmap and see that /etc/subuid and /etc/subgid name your user, "
        + BUILD_ELSEWHERE,
    ),
    (
        r"No space left on device",
        ImageBuildFailed,
        "The disk is full.",
        "Free some space, or set TMPDIR to a directory on another disk; about 1 GB is needed.",
    ),
    (
        r"resolv|[Cc]ould not connect|Unable to connect|timed out|Network is unreachable",
        ImageBuildFailed,
        "Debian's packages cannot be fetched.",
        "Name a mirror that is reached from here with --mirror, or set http_proxy, " + BUILD_ELSEWHERE,
    ),
    (
        r"does not have a Release file|404  Not Found",
        ImageBuildFailed,
        "The mirror does not have the suite.",
        "Choose another mirror with --mirror, or another suite with --suite.",
    ),
    (
        r"NO_PUBKEY|is not signed|be verified",
        ImageBuildFailed,
        "The signatures of Debian's packages cannot be checked.",
        "Install debian-archive-keyring, of a release that knows the suite.",
    ),
)


def _failure(code: int, last: str) -> IsolatedEmrError:
    checked = f"mmdebstrap ended with {code}; its last lines:\n{last}"
    for pattern, kind, what, cure in _FAILURES:
        if re.search(pattern, last):
            return kind(what, checked=checked, cure=f"{cure.rstrip('.')}.")
    return ImageBuildFailed(
        "mmdebstrap failed.", checked=checked, cure=f"Mend what these lines name, {BUILD_ELSEWHERE}."
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End mmdebstrap with all that it started; it removes its own files at SIGTERM."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_ENDING)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove(directory: Path, say: Say) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        problems = clear_directory(descriptor)
    finally:
        os.close(descriptor)
    if not problems:
        directory.rmdir()
    for problem in problems:
        say(f"could not be removed: {directory}/{problem}")
