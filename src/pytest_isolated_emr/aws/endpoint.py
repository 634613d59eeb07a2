"""The endpoint's process: moto behind the key check, on sockets that the keeper bound.

``python -m pytest_isolated_emr.aws.endpoint --fds N …``, with one line of JSON on standard input that says whose
it is and which buckets to make; each further line has more buckets, or a prefix to empty. It prints one line when it serves,
and one for each of those lines. It ends when its standard input does: then the keeper is gone, and nobody else would end it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from pytest_isolated_emr.lifecycle.process_log import log_what_can_be_written

from .credentials import SessionCredentials

#: What boto3 and moto (``moto/settings.py``) read.
_MOTO_VARIABLES = ("AWS_", "MOTO_", "TEST_SERVER_MODE", "TEST_PROXY_MODE", "S3_", "INITIAL_NO_AUTH_")


@dataclass(frozen=True)
class Bucket:
    """A bucket that is there before the first request.

    :param name: its name.
    :param directory: whose files it holds, or None for an empty one.
    """

    name: str
    directory: Path | None


@dataclass(frozen=True)
class EndpointSettings:
    """What the keeper's line says.

    :param credentials: the session's key and region.
    :param buckets: the buckets to make.
    :param session_directory: the session's; None where there is no keeper for EMR clusters.
    """

    credentials: SessionCredentials
    buckets: tuple[Bucket, ...]
    session_directory: Path | None = None

    @classmethod
    def from_json(cls, line: str) -> EndpointSettings:
        """Read the keeper's line."""
        message = json.loads(line)
        credentials = SessionCredentials(
            message["access_key_id"], message["secret_access_key"], message["region"]
        )
        directory = message.get("session_directory")
        return cls(credentials, _buckets_of(message), Path(directory) if directory else None)


def _buckets_of(message: dict[str, Any]) -> tuple[Bucket, ...]:
    return tuple(
        Bucket(bucket["name"], Path(bucket["directory"]) if bucket.get("directory") else None)
        for bucket in message.get("buckets", ())
    )


def main() -> int:
    """Serve until the keeper ends this process, or itself."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fds", type=int, nargs="+", required=True, help="listening TCP sockets")
    fds = parser.parse_args().fds
    # Ctrl-C in a terminal reaches the whole foreground group, but tests still tear down through this
    # endpoint.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    say = _take_stdout()
    log_what_can_be_written()
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    try:
        settings = EndpointSettings.from_json(line.decode())
        threading.Thread(target=_obey, args=(settings.credentials.region, say), daemon=True).start()
        _choose_moto_settings(os.environ)
        first, *others = _make_servers(fds, settings)
    except Exception as error:  # noqa: BLE001 - whatever it is, the keeper has to hear of it
        traceback.print_exc()
        say({"error": f"{type(error).__name__}: {error}"})
        return 1
    say({"ready": True})
    for server in others:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    first.serve_forever()
    return 0


def _take_stdout() -> Callable[[dict[str, object]], None]:
    """Keep the real standard output for our own lines; what moto prints goes to standard error.

    The keeper reads those lines and no more, so that a chatty library would fill the pipe and then wait for ever.
    """
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(message: dict[str, object]) -> None:
        print(json.dumps(message), file=channel, flush=True)

    return say


def _obey(region: str, say: Callable[[dict[str, object]], None]) -> None:
    """Make the buckets and empty the prefixes that the keeper names, and end this process with standard input."""
    # Unbuffered, because the interpreter may not end cleanly while another thread holds a buffered reader's
    # lock.
    received = b""
    try:
        while chunk := os.read(0, 65536):
            *lines, received = (received + chunk).split(b"\n")
            for line in lines:
                say(_answer(line, region))
    finally:
        os._exit(0)


def _answer(line: bytes, region: str) -> dict[str, object]:
    try:
        message = json.loads(line)
        _make_buckets(_buckets_of(message), region)
        if "emptied" in message:
            _empty_prefix(message["emptied"], region)
    except Exception as error:  # noqa: BLE001 - whatever it is, the keeper has to hear of it
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"}
    return {"ready": True}


def _choose_moto_settings(environ: Any) -> None:
    """Make moto the same on every machine.

    The keeper inherits its user's environment. AWS_PROFILE would break moto's own boto3 session, and settings
    meant for a moto server of the user's (TEST_SERVER_MODE, MOTO_…) would change ours.
    """
    for name in list(environ):
        if name.startswith(_MOTO_VARIABLES):
            del environ[name]
    environ["AWS_EC2_METADATA_DISABLED"] = "true"
    # See serving.with_buckets_in_path.
    environ["S3_IGNORE_SUBDOMAIN_BUCKETNAME"] = "true"
    # No browser talks to us. Without this every answer would let any web page read it.
    environ["MOTO_DISABLE_GLOBAL_CORS"] = "true"
    # On AWS the policies of AWS's own are there, and tools attach them to the roles that they make for EMR.
    environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"


def _share_botocore_data() -> None:
    """Have botocore read its data once: moto asks a new session for each list of regions, and each would read its own
    copy of some megabytes. That was half of the time that the first cluster waits for EMR's import."""
    import botocore.session

    botocore.session.create_loader = cache(botocore.session.create_loader)


def _make_servers(fds: Sequence[int], settings: EndpointSettings) -> list[Any]:
    _share_botocore_data()
    # moto's import takes most of a second, and has to find the environment as it is now.
    from . import atomic_writes, joined_parts, key_snapshots, managed_policies, object_bodies
    from .access import KeyCheck
    from .handed_out_keys import HandedOutKeys
    from .http_server import HttpServer
    from .serving import Dispatcher, app_for_service, with_buckets_in_path, with_errors_in_protocol

    handed_out = HandedOutKeys()
    handed_out.install()
    atomic_writes.install()
    managed_policies.install()
    object_bodies.install()
    joined_parts.install()
    key_snapshots.install()
    _make_buckets(settings.buckets, settings.credentials.region)
    dispatcher = Dispatcher(
        partial(app_for_service, install_emr=partial(_install_emr, settings.session_directory))
    )
    moto_app = with_errors_in_protocol(with_buckets_in_path(dispatcher))
    app = KeyCheck(moto_app, settings.credentials, handed_out.accepts)
    return [HttpServer(socket.socket(fileno=fd), app) for fd in fds]


@cache
def _install_emr(session_directory: Path | None) -> None:
    # Without a session there is nobody to run steps: what is left is moto's own EMR.
    if session_directory is not None:
        from pytest_isolated_emr.emr.service import install

        install(session_directory)


def _make_buckets(buckets: Sequence[Bucket], region: str) -> None:
    from .buckets import make_bucket

    for bucket in buckets:
        make_bucket(bucket.name, region, bucket.directory)


def _empty_prefix(emptied: dict[str, str], region: str) -> None:
    from .buckets import empty_prefix

    empty_prefix(emptied["bucket"], region, emptied["prefix"])


if __name__ == "__main__":
    sys.exit(main())
