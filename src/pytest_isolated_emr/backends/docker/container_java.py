"""A ``java`` that runs in a container, for machines without one: what fetches and compiles the session's jars runs by it.

``python -m pytest_isolated_emr.backends.docker.container_java IMAGE ARGUMENT…`` does what ``java ARGUMENT…`` would do. It
runs code of Spark's and ours alone, never that of a test; so it has this machine's network, as the ``java`` of this
machine would, where the session's containers have none.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pytest_isolated_emr.backends.docker.engine import Engine, engine_errors
from pytest_isolated_emr.backends.docker.names import ROLE_LABEL
from pytest_isolated_emr.backends.docker.trust_store import PASSWORD, write_trust_store
from pytest_isolated_emr.errors import IsolatedEmrError
from pytest_isolated_emr.lifecycle.private_files import make_private
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.spark.installation import find_spark
from pytest_isolated_emr.spark.java import NEEDED_MAJOR, Java

# Ends Java when this process does: standard input ends then.
_RUN = 'exec 3<&0; "${JAVA_HOME:+$JAVA_HOME/bin/}java" "$@" </dev/null & java=$!; (cat <&3 >/dev/null; kill -9 $java) & wait $java'
_STDERR = 2


def container_java(image: str, directory: Path) -> Java:
    """Return a Java of an image, as if it were on this machine.

    :param image: the image's name; the engine has to have it by the time that the Java is used.
    :param directory: a directory of this user's, for the program that stands for it.
    """
    program = directory / "bin" / "java"
    make_private(program.parent)
    store = directory / "trusted.jks"
    options = [
        # Of the image's own Java, which knows no company's authorities.
        f"-Djavax.net.ssl.trustStore={store}",
        f"-Djavax.net.ssl.trustStorePassword={PASSWORD}",
    ]
    line = shlex.join([sys.executable, "-m", __spec__.name, image, *options])
    # Sessions that start at once write the same.
    with _replacing(store) as made:
        write_trust_store(made)
    with _replacing(program) as made:
        made.write_text(f'#!/bin/sh\nexec {line} "$@"\n', encoding="utf-8")
        made.chmod(0o700)
    return Java(program, NEEDED_MAJOR, f"of {image}")


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    made = path.with_name(f"{path.name}.{os.getpid()}")
    yield made
    made.replace(path)


def main() -> int:
    """Run Java, and return its exit code."""
    image, *arguments = sys.argv[1:]
    try:
        engine = Engine.connect()
        with engine_errors("running Java in a container"):
            return _run(engine, image, arguments)
    except IsolatedEmrError as error:
        print(error, file=sys.stderr)
        return 1


def _run(engine: Engine, image: str, arguments: list[str]) -> int:
    api = engine.api
    cwd = Path.cwd()
    writable = [StateRoot.from_environment().jars, cwd]
    read_only = [
        path for path in _seen_by(arguments) if not any(path.is_relative_to(other) for other in writable)
    ]
    modes = {**dict.fromkeys(read_only, "ro"), **dict.fromkeys(writable, "rw")}
    binds = {str(path): {"bind": str(path), "mode": mode} for path, mode in modes.items()}
    container = api.create_container(
        image,
        entrypoint=["/bin/sh", "-c", _RUN, "java"],
        command=arguments,
        user=engine.user,
        working_dir=str(cwd),
        environment={"HOME": str(Path.home())},
        labels={ROLE_LABEL: "java"},
        stdin_open=True,
        host_config=api.create_host_config(
            auto_remove=True,
            binds=binds,
            network_mode="host",
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            read_only=True,
            tmpfs={"/tmp": ""},
        ),
    )["Id"]
    stream = api.attach_socket(container, params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1})
    api.start(container)
    _copy_output(stream._sock)
    return int(api.wait(container)["StatusCode"])


def _seen_by(arguments: Iterable[str]) -> list[Path]:
    """Return what Java may read: Spark, the local Maven repository, and what its command line names."""
    named = [Path(part) for argument in arguments for part in re.split("[:,=]", argument)]
    paths = [find_spark().home, Path(__file__).parents[2], Path.home() / ".m2" / "repository", *named]
    # A whole directory where a wildcard names its jars.
    paths = [path.parent if path.name == "*" else path for path in paths]
    return [path for path in paths if path.is_absolute() and path.exists()]


def _copy_output(stream: socket.socket) -> None:
    """Print what a container prints, to its end."""
    file: Any = stream.makefile("rb")
    while header := file.read(8):
        kind, length = struct.unpack(">BxxxI", header)
        output = sys.stderr.buffer if kind == _STDERR else sys.stdout.buffer
        output.write(file.read(length))
        output.flush()


if __name__ == "__main__":
    sys.exit(main())
