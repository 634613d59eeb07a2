"""How moto is served: which of its services can be reached, and what failures look like."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from .access import WsgiApp
from .refusals import (
    CONTROL_PATH,
    Protocol,
    StartResponse,
    internal_error,
    not_implemented,
    protocol_of,
    respond,
    scope_service,
)
from .s3_app import S3App

_LOCAL_SUFFIX = ".localhost"


def app_for_service(service: str, install_emr: Callable[[], None]) -> WsgiApp:
    """Return the application of one of moto's services.

    Every way to a service ends here, so that moto's control paths stay closed even if the check that comes
    first misses a spelling.

    :param service: moto's name of it.
    :param install_emr: puts our EMR in the place of moto's, once; not at the start, as its import takes most of a
        second.
    """
    # CloudFormation makes clusters too.
    if service in ("emr", "cloudformation"):
        install_emr()
    if service.startswith("moto_api"):
        return lambda environ, start_response: respond(environ, start_response, CONTROL_PATH)
    app: WsgiApp = create_backend_app(service)
    return S3App(app) if service == "s3" else app


class Dispatcher(DomainDispatcherApplication):  # type: ignore[misc]
    """Finds the service that a request is for, as moto does.

    moto lists its package's some 180 folders for each request anew, which is half of what a small one takes.

    :param create_app: makes the application of a service.
    """

    def __init__(self, create_app: Callable[[str], WsgiApp]) -> None:
        super().__init__(create_app)
        # What a name stands for does not change while the process runs; clients choose the names, hence the limit.
        self.get_backend_for_host = lru_cache(maxsize=1024)(super().get_backend_for_host)


def with_errors_in_protocol(app: WsgiApp) -> WsgiApp:
    """Return ``app`` with its exceptions answered in the service's protocol.

    moto's server answers them with a page of HTML, from which SDKs make nothing, and SDKs repeat a 500.

    :param app: moto.
    """

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        try:
            return app(environ, start_response)
        except NotImplementedError as error:
            return respond(environ, start_response, not_implemented(_what(environ, error)))
        except Exception as error:  # noqa: BLE001 - any service of moto's may raise anything
            place = traceback.extract_tb(error.__traceback__)[-1]
            what = f"{type(error).__name__}: {error}"
            print(f"{what!r} at {place.filename}:{place.lineno}", file=sys.stderr, flush=True)
            return respond(environ, start_response, internal_error(what))

    return answer


def with_buckets_in_path(app: WsgiApp) -> WsgiApp:
    """Return ``app`` for clients that put the bucket before the host (``BUCKET.localhost``), as DuckDB does.

    moto would take the part before the first dot for the bucket, and that of any host name with dots (a
    container's view of this machine) as well; it is told not to look (``S3_IGNORE_SUBDOMAIN_BUCKETNAME``).

    :param app: moto.
    """

    def pass_on(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        host, _, port = environ.get("HTTP_HOST", "").partition(":")
        bucket = host.removesuffix(_LOCAL_SUFFIX)
        if bucket and bucket != host and protocol_of(environ) is Protocol.S3:
            environ["HTTP_HOST"] = f"localhost:{port}" if port else "localhost"
            # moto reads the path from any of these.
            for name in ("PATH_INFO", "RAW_URI", "REQUEST_URI"):
                environ[name] = f"/{bucket}{environ.get(name, '/')}"
        return app(environ, start_response)

    return pass_on


def _what(environ: dict[str, Any], error: NotImplementedError) -> str:
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    return str(error) or target or f"{scope_service(environ)} {environ.get('REQUEST_METHOD')}"
