"""Hands a run's limited credentials to its own processes, as a container's agent does.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.limited_credentials import TemporaryCredentials

_PATH = "/credentials"
_TOKEN_BYTES = 32
#: A client that connects and says nothing is left alone after this many seconds.
_READ_SECONDS = 10

FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
AUTHORIZATION_TOKEN = "AWS_CONTAINER_AUTHORIZATION_TOKEN"


class CredentialsServer:
    """Serves credentials on 127.0.0.1 to those who know its token. It serves from its making on.

    :param current: returns what is valid now, or raises an error of ours.
    :param account_id: the account that the credentials are of.
    """

    def __init__(self, current: Callable[[], TemporaryCredentials], account_id: str) -> None:
        self._token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.current = current
        self._server.account_id = account_id
        self._server.token = self._token.encode()
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="credentials server", daemon=True
        )
        self._thread.start()

    def variables(self) -> dict[str, str]:
        """Return the variables by which AWS's clients find the server."""
        port = self._server.server_address[1]
        return {FULL_URI: f"http://127.0.0.1:{port}{_PATH}", AUTHORIZATION_TOKEN: self._token}

    def close(self) -> None:
        """Serve no more; what is being answered may still be."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A request that hangs in AWS holds up no end of a session.
    block_on_close = False
    current: Callable[[], TemporaryCredentials]
    account_id: str
    token: bytes


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    timeout = _READ_SECONDS
    server_version = "isolated-emr"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the credentials."""
        presented = self.headers.get("Authorization", "").encode("latin-1", "replace")
        if not hmac.compare_digest(presented, self.server.token):
            self._refuse(
                HTTPStatus.FORBIDDEN, "AccessDenied", "The authorization token is not the session's."
            )
            return
        if self.path != _PATH:
            self._refuse(HTTPStatus.NOT_FOUND, "NotFound", f"There is {_PATH} alone.")
            return
        try:
            credentials = self.server.current()
        except errors.IsolatedEmrError as error:
            # Clients ask again after a 5xx, so that a failure of AWS's may pass meanwhile.
            passing = isinstance(error, errors.AwsUnreachable)
            status = HTTPStatus.SERVICE_UNAVAILABLE if passing else HTTPStatus.BAD_REQUEST
            self._refuse(status, error.code, f"{error.what} ({error.checked})")
            return
        self._answer(
            HTTPStatus.OK,
            {
                "AccessKeyId": credentials.access_key_id,
                "SecretAccessKey": credentials.secret_access_key,
                "Token": credentials.session_token,
                "Expiration": credentials.expiration.strftime("%Y-%m-%dT%H:%M:%SZ"),
                "AccountId": self.server.account_id,
            },
        )

    def _refuse(self, status: HTTPStatus, code: str, message: str) -> None:
        self._answer(status, {"code": code, "message": message})

    def _answer(self, status: HTTPStatus, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *_args: object) -> None:
        """Say nothing: the keeper has no standard streams to say it on."""
