"""An image registry with one image of one layer, which it sends in two halves.

https://distribution.github.io/distribution/spec/api/ has the interface, as far as a pull needs it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_TYPES = "application/vnd.docker.distribution.manifest.v2+json"


class Registry:
    """Serves ``NAME/of/any:tag`` on a port of 127.0.0.1 until it is closed."""

    def __init__(self, size: int) -> None:
        layer = _layer(size)
        packed = gzip.compress(layer, compresslevel=0)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": _TYPES,
                "config": _described("application/vnd.docker.container.image.v1+json", config),
                "layers": [_described("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
            }
        ).encode()
        self.blobs = {_digest(config): config, _digest(packed): packed}
        self.manifest = manifest
        #: The second half of the layer waits for it.
        self.go_on = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Serve no more."""
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(registry: Registry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if "/manifests/" in self.path:
                self._answer(registry.manifest, _TYPES)
            elif "/blobs/" in self.path:
                self._answer(registry.blobs[self.path.rpartition("/")[2]], "application/octet-stream")
            else:
                self._answer(b"{}", "application/json")

        do_HEAD = do_GET

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Docker-Content-Digest", _digest(body))
            self.end_headers()
            if self.command == "HEAD":
                return
            if len(body) > 100_000:
                half = len(body) // 2
                self.wfile.write(body[:half])
                registry.go_on.wait(60)
                body = body[half:]
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler


def _layer(size: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("data")
        info.size = size
        tar.addfile(info, io.BytesIO(bytes(size)))
    return out.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _described(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}
