"""How much a first run fetches of jars: counted by a mirror of Maven Central on this machine, which passes requests on."""

from __future__ import annotations

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CENTRAL = "https://repo1.maven.org/maven2"
MEGABYTES, REQUESTS = "MB fetched", "requests for them"

# Fetches the jars alone: the archive of classes is not fetched.
_FETCH = """
import sys, os
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.spark.wiring import SparkWiring

root = StateRoot.from_environment()
root.open()
SparkWiring(Settings(repositories=(sys.argv[1],)), dict(os.environ)).fetch_jars(print)
"""


@dataclass
class _Count:
    requests: int = 0
    size: int = 0


def measure(home: Path, environ: dict[str, str]) -> dict[str, float]:
    """Fetch the jars into an empty state root, and return how much came, and by how many requests.

    :param home: the state root, which does not exist yet.
    :param environ: the environment, with the state root in it.
    """
    count, lock = _Count(), threading.Lock()

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._pass_on(with_body=True)

        def do_HEAD(self) -> None:
            self._pass_on(with_body=False)

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _pass_on(self, *, with_body: bool) -> None:
            try:
                request = urllib.request.Request(CENTRAL + self.path, method=self.command)
                with urllib.request.urlopen(request, timeout=60) as answer:
                    status, body, kind = answer.status, answer.read(), answer.headers["Content-Type"]
                    length = answer.headers.get("Content-Length") or str(len(body))
            except urllib.error.HTTPError as error:
                status, body, kind, length = error.code, b"", "text/plain", "0"
            with lock:
                count.requests += 1
                count.size += len(body)
            self.send_response(status)
            self.send_header("Content-Type", kind or "application/octet-stream")
            self.send_header("Content-Length", length)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    assert not home.exists()
    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            subprocess.run([sys.executable, "-c", _FETCH, url], env=environ, capture_output=True, check=True)
        finally:
            server.shutdown()
    return {MEGABYTES: count.size / 1e6, REQUESTS: count.requests}
