"""The check that stands before the private endpoint: who has none of this session's keys is refused.

Code under test may hold a client that was made for another session, or a machine's real credentials. Such a
request must fail, loudly and before anything is stored, instead of mixing two sessions' data.
"""

from __future__ import annotations

import hmac
import posixpath
import sys
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote

from .credentials import SessionCredentials
from .presented_keys import presented_keys
from .refusals import (
    CONTROL_PATH,
    NO_KEY,
    UNKNOWN_KEY,
    Fault,
    Protocol,
    StartResponse,
    protocol_of,
    respond,
    scope_service,
)

WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

#: WSGI's name of the header ``x-isolated-emr-key``, by which a JVM of ours proves whose it is.
_OWN_HEADER = "HTTP_X_ISOLATED_EMR_KEY"

#: moto's names for the service behind its control paths, in a Host header or a credential's scope.
_CONTROL_SERVICES = ("motoapi", "moto_api")


class KeyCheck:
    """WSGI middleware that lets only requests with a key of this session through.

    What carries no key at all is refused as well, also where AWS takes it unsigned: AssumeRoleWithWebIdentity
    and AssumeRoleWithSAML (STS's API reference: they need no credentials) and a browser's CORS preflight.
    Nothing in them says whose they are, so that another session's would pass just as well.

    :param app: the application to protect.
    :param credentials: the session's own key.
    :param handed_out: says whether the session's STS or IAM handed a key out.
    """

    def __init__(
        self,
        app: WsgiApp,
        credentials: SessionCredentials,
        handed_out: Callable[[str], bool] = lambda access_key_id: False,
    ) -> None:
        self._app = app
        self._own = credentials.access_key_id
        self._handed_out = handed_out

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Pass the request on, or answer 403."""
        if is_control_request(environ):
            return _refuse(environ, start_response, CONTROL_PATH, "moto's control paths are closed")
        own = environ.pop(_OWN_HEADER, None)
        # Our JVM adds the header to what code under test signs with hard-coded keys, which say nothing then.
        keys = [own] if own is not None else presented_keys(environ)
        if not keys:
            return _refuse(environ, start_response, NO_KEY, "it carries no access key")
        # Every one, so that no second reader can take the request for somebody else's.
        if not all(self._acceptable(key) for key in keys):
            return _refuse(environ, start_response, UNKNOWN_KEY, "its access key is not of this session")
        if own is not None:
            _sign_for_moto(environ, self._own)
        return self._app(environ, start_response)

    def _acceptable(self, key: str) -> bool:
        return hmac.compare_digest(key.encode(), self._own.encode()) or self._handed_out(key)


def is_control_request(environ: dict[str, Any]) -> bool:
    """Whether a request is meant for moto's control paths, however it is spelt.

    :param environ: the WSGI environment.
    """
    hosts = (environ.get("HTTP_HOST", ""), environ.get("HTTP_X_FORWARDED_HOST", ""), scope_service(environ))
    if any(host.strip().casefold().startswith(_CONTROL_SERVICES) for host in hosts):
        return True
    return _plain_path(environ.get("PATH_INFO", "")).startswith("/moto-api")


def _plain_path(path: str) -> str:
    """Undo every encoding, doubled or backward slash, dot and letter case."""
    while (decoded := unquote(path)) != path:
        path = decoded
    path = path.replace("\\", "/")
    return "/" + posixpath.normpath("/" + path).lstrip("/").casefold()


def _sign_for_moto(environ: dict[str, Any], access_key_id: str) -> None:
    """Make an anonymous S3 client of our JVM's the session's.

    moto hides objects from requests without a signature. Our JVM may use an anonymous credentials provider,
    for public buckets, and its header has just proved whose it is.
    """
    if "HTTP_AUTHORIZATION" not in environ and protocol_of(environ) is Protocol.S3:
        environ["HTTP_AUTHORIZATION"] = f"AWS {access_key_id}:isolated-emr"


def _refuse(
    environ: dict[str, Any], start_response: StartResponse, fault: Fault, why: str
) -> Iterable[bytes]:
    # The path without its query, which may hold a key; as a literal, so that it cannot forge lines.
    path = environ.get("PATH_INFO", "")
    print(f"refused {environ.get('REQUEST_METHOD')} {path!r}: {why}", file=sys.stderr, flush=True)
    return respond(environ, start_response, fault)
