"""``python -m benchmarks.s3``: S3 of the endpoint as a session has it, and of moto's own server, in turns.

Writes ``benchmarks/s3.json``. Both servers run all the time; in each round each kind of request goes to the one and then to the
other.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import Any

import psutil

from benchmarks.s3_clients import REGION, Act, Clients, Load, Request, Server, Wire
from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.endpoint_process import MEMORY_SETTINGS

HERE = Path(__file__).parent
OURS, STOCK = "endpoint", "moto_server"
CLIENTS = 8
BUCKET, LISTED = "bench", "bench-listed"
SMALL, RANGE, LARGE, PART, PARTS = 1024, 1 << 20, 256 << 20, 8 << 20, 2


def ask(load: Load, requests: list[Request], size: int, status: int = 200) -> Callable[[], int]:
    """Return an act that sends the next one of some requests and checks the answer's status."""
    wire = Wire(load.server.port)
    signed = cycle([(request.signed(load.server), request.method == "HEAD") for request in requests])

    def once() -> int:
        request, head = next(signed)
        answered, body = wire.ask(request, head)
        assert answered == status, (answered, body[:300])
        return size

    return once


def get(load: Load) -> Callable[[], int]:
    """Get small objects."""
    return ask(load, [Request("GET", f"/{BUCKET}/small/{number}") for number in range(50)], SMALL)


def head(load: Load) -> Callable[[], int]:
    """Ask for small objects' headers."""
    return ask(load, [Request("HEAD", f"/{BUCKET}/small/{number}") for number in range(50)], 0)


def put(load: Load) -> Callable[[], int]:
    """Put small objects."""
    body = os.urandom(SMALL)
    paths = [f"/{BUCKET}/put/{load.number}/{number}" for number in range(50)]
    return ask(load, [Request("PUT", path, {}, body) for path in paths], SMALL)


def ranges(load: Load) -> Callable[[], int]:
    """Get ranges of a large object."""
    starts = [(load.number * 31 + number * 7) % 255 * RANGE + 4096 for number in range(50)]
    headers = [{"Range": f"bytes={start}-{start + RANGE - 1}"} for start in starts]
    return ask(load, [Request("GET", f"/{BUCKET}/large", each) for each in headers], RANGE, 206)


def whole(load: Load) -> Callable[[], int]:
    """Get an object of one part's size."""
    return ask(load, [Request("GET", f"/{BUCKET}/medium")], PART)


def listing(load: Load) -> Callable[[], int]:
    """List a thousand keys."""
    return ask(load, [Request("GET", f"/{LISTED}?list-type=2&prefix=thousand%2F&max-keys=1000")], 0)


def multipart(load: Load) -> Callable[[], int]:
    """Upload an object in parts."""
    wire, body, turns = Wire(load.server.port), os.urandom(PART), count()

    def once() -> int:
        path = f"/{BUCKET}/multipart/{load.number}/{next(turns) % 2}"

        def send(method: str, query: str, content: bytes = b"") -> bytes:
            headers = {"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
            status, answer = wire.ask(
                Request(method, f"{path}?{query}", headers, content).signed(load.server)
            )
            assert status == 200, (status, answer)
            return answer

        upload = re.search("<UploadId>(.*)</UploadId>", send("POST", "uploads=").decode())
        assert upload is not None
        named = f"uploadId={upload[1]}"
        done = []
        for number in range(1, PARTS + 1):
            send("PUT", f"partNumber={number}&{named}", body)
        etags = re.findall("<ETag>(.*?)</ETag>", send("GET", named).decode())
        done = [
            f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        ]
        complete = f"<CompleteMultipartUpload>{''.join(done)}</CompleteMultipartUpload>"
        send("POST", named, complete.encode())
        return PART * PARTS

    return once


def by_boto3(load: Load) -> Callable[[], int]:
    """Put, get and head a small object and list ten by boto3."""
    client, body, key = load.server.client(), os.urandom(SMALL), f"boto3/{load.number}/object"
    client.put_object(Bucket=BUCKET, Key=key, Body=body)
    calls: Iterator[Callable[[], Any]] = cycle(
        [
            lambda: client.put_object(Bucket=BUCKET, Key=key, Body=body),
            lambda: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
            lambda: client.head_object(Bucket=BUCKET, Key=key),
            lambda: client.list_objects_v2(Bucket=BUCKET, Prefix="small/1"),
        ]
    )

    def once() -> int:
        next(calls)()
        return 0

    return once


@dataclass(frozen=True)
class Measure:
    """One kind of request.

    :param act: what a client does.
    :param seconds: for how long a client begins anew in each round; moto's server needs long for some.
    """

    act: Act
    seconds: float = 1.5


MEASURES = {
    "GET of 1 KB": Measure(get),
    "PUT of 1 KB": Measure(put),
    "HEAD": Measure(head),
    "GET of 1 MB of 256 MB": Measure(ranges, 2),
    "GET of 8 MB": Measure(whole),
    "list 1000 keys": Measure(listing),
    "upload of 16 MB in 2 parts": Measure(multipart, 2),
    "boto3's put, get, head and list": Measure(by_boto3),
}


@dataclass(frozen=True)
class Running:
    """A server that runs.

    :param server: how clients reach it.
    :param process: the process that serves.
    """

    server: Server
    process: psutil.Process

    def resident(self) -> float:
        """Return the megabytes of memory that it has resident."""
        return float(self.process.memory_info().rss) / 1e6

    def spent(self) -> tuple[float, float]:
        """Return the seconds of processor time that it took so far, and the bytes that it read from files and sockets."""
        times = self.process.cpu_times()
        # Of Linux alone.
        read = self.process.io_counters().read_chars if hasattr(self.process, "io_counters") else 0
        return times.user + times.system, read


@contextmanager
def stock_server(directory: Path) -> Iterator[Running]:
    """Run ``moto_server`` as its users run it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with started(command, directory, {}, stdin=subprocess.DEVNULL) as process:
        wait_for(port)
        yield Running(Server(port, "AKIAIOSFODNN7EXAMPLE"), psutil.Process(process.pid))


@contextmanager
def our_endpoint(directory: Path) -> Iterator[Running]:
    """Run the endpoint as a session's keeper does, key check and all."""
    credentials = SessionCredentials.new(REGION)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        command = [sys.executable, "-m", "pytest_isolated_emr.aws.endpoint", "--fds", str(fd)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "pass_fds": [fd]}
        with started(command, directory, MEMORY_SETTINGS, **pipes) as process:
            opening = {
                "access_key_id": credentials.access_key_id,
                "secret_access_key": credentials.secret_access_key,
                "region": credentials.region,
            }
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(opening).encode() + b"\n")
            process.stdin.flush()
            answer = json.loads(process.stdout.readline())
            assert answer == {"ready": True}, answer
            yield Running(Server(port, credentials.access_key_id), psutil.Process(process.pid))


@contextmanager
def started(
    command: list[str], directory: Path, variables: dict[str, str], **options: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, with its files in a directory; end it afterwards."""
    directory.mkdir()
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    environ |= variables | {"TMPDIR": str(directory)}
    options = {"stdout": subprocess.DEVNULL, **options}
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, env=environ, **options)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for(port: int) -> None:
    """Wait until a server takes connections."""
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            time.sleep(0.05)


def fill(running: Running) -> dict[str, float]:
    """Put what the requests ask for; return the megabytes of the server before and after the large object."""
    client = running.server.client()
    for bucket in (BUCKET, LISTED):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    for number in range(50):
        client.put_object(Bucket=BUCKET, Key=f"small/{number}", Body=os.urandom(SMALL))
    for number in range(1000):
        client.put_object(Bucket=LISTED, Key=f"thousand/part-{number:05}.parquet", Body=b"x")
    client.put_object(Bucket=BUCKET, Key="medium", Body=os.urandom(PART))
    before = running.resident()
    client.put_object(Bucket=BUCKET, Key="large", Body=os.urandom(LARGE))
    stored = running.resident()
    client.get_object(Bucket=BUCKET, Key="large")["Body"].read()
    return {"before": before, "with 256 MB stored": stored, "after these were read": running.resident()}


def measure(rounds: int, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Measure both servers in turns.

    :param rounds: how many rounds count; one more comes before them.
    :param only: which of the measurements; all of them by default.
    :returns: ``figures``: for each measurement and server requests a second, MB/s, milliseconds of the server's processor
        time and bytes that it read for each request, as lists with one figure a round; ``memory``: each server's resident
        megabytes.
    """
    figures: dict[str, dict[str, dict[str, list[float]]]] = {}
    with (
        tempfile.TemporaryDirectory() as directory,
        our_endpoint(Path(directory) / "ours") as ours,
        stock_server(Path(directory) / "stock") as stock,
        Clients(CLIENTS) as clients,
    ):
        servers = {OURS: ours, STOCK: stock}
        memory = {name: fill(running) for name, running in servers.items()}
        for number in range(rounds + 1):
            for kind, how in MEASURES.items():
                if only and kind not in only:
                    continue
                # Who comes first changes from round to round.
                for name in sorted(servers, reverse=bool(number % 2)):
                    measured = run_once(clients, how, servers[name])
                    print(kind, name, {key: round(value, 2) for key, value in measured.items()}, flush=True)
                    for key, value in measured.items() if number else ():
                        figures.setdefault(kind, {}).setdefault(name, {}).setdefault(key, []).append(value)
    return {"clients": CLIENTS, "rounds": rounds, "figures": figures, "memory, MB": memory}


def run_once(clients: Clients, how: Measure, running: Running) -> dict[str, float]:
    """Measure one kind of request on one server."""
    seconds, read = running.spent()
    share = clients.run(how.act, running.server, how.seconds)
    spent, read_after = running.spent()
    # Each client did its act once more, before the clock started.
    acts = share.count + CLIENTS
    return {
        "requests/s": share.count / share.seconds,
        "MB/s": share.size / share.seconds / 1e6,
        "processor ms/request": 1000 * (spent - seconds) / acts,
        "KB read/request": (read_after - read) / acts / 1000,
    }


def ratios(measured: dict[str, Any]) -> dict[str, list[float]]:
    """Return for each measurement how many times as many requests a second the endpoint answers, by rounds."""
    return {
        kind: [a / b for a, b in zip(by[OURS]["requests/s"], by[STOCK]["requests/s"], strict=True)]
        for kind, by in measured["figures"].items()
    }


def spread(values: list[float], digits: int = 1) -> str:
    """Return the median and the range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main() -> None:
    """Measure, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="*", default=(), choices=[*MEASURES], metavar="KIND", help="some alone"
    )
    arguments = parser.parse_args()
    measured = measure(arguments.rounds, tuple(arguments.only))
    if not arguments.only:
        (HERE / "s3.json").write_text(json.dumps(measured, indent=1) + "\n")
    for kind, values in ratios(measured).items():
        by = measured["figures"][kind]
        print(
            f"{kind}: {spread(by[OURS]['requests/s'])} against {spread(by[STOCK]['requests/s'])} requests a second,"
        )
        print(
            f"    {spread(values)} times as many; MB/s {spread(by[OURS]['MB/s'])}, {spread(by[STOCK]['MB/s'])};",
            end=" ",
        )
        key = "processor ms/request"
        print(f"ms of processor {spread(by[OURS][key], 2)}, {spread(by[STOCK][key], 2)}")
    print(json.dumps(measured["memory, MB"]))


if __name__ == "__main__":
    main()
