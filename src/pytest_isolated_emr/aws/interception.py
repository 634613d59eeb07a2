"""Keeps clients in the session that ignore its environment variables, and ``mock_aws`` out of it.

All of it happens when the user's code imports the library in question, which is never imported for it, and
has an effect only between :func:`activate` and :func:`deactivate`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import wrapt

from .credentials import SessionCredentials


@dataclass
class _Session:
    """What the hooks go by.

    :param mocks: how many of moto's mocks are active.
    :param hidden: the variables that come back after the last of them.
    """

    endpoint_url: str
    credentials: SessionCredentials
    directory: Path | None
    mocks: int = 0
    hidden: dict[str, str] = field(default_factory=dict)


#: The sessions of this process, the innermost last: a test may run pytest in its own process.
_sessions: list[_Session] = []
_registered: list[str] = []


def activate(endpoint_url: str, credentials: SessionCredentials, directory: Path | None = None) -> None:
    """Lead such clients to a session, until :func:`deactivate`.

    :param endpoint_url: where its private endpoint is.
    :param credentials: its key and region.
    :param directory: where DuckDB may keep persistent secrets; without one there are none.
    """
    _sessions.append(_Session(endpoint_url, credentials, directory))
    for module, hook in _HOOKS.items():
        # Hooks cannot be taken back, hence once for each; they look at the sessions.
        if module not in _registered:
            _registered.append(module)
            wrapt.register_post_import_hook(hook, module)


def deactivate() -> None:
    """Leave such clients to what was active before, at last to themselves."""
    # With it go the variables that a mock has hidden: one that outlives the session must not bring them back.
    if _sessions:
        _sessions.pop()


def _session() -> _Session | None:
    return _sessions[-1] if _sessions else None


# pyarrow: S3FileSystem() takes no endpoint from the environment, as its from_uri does.


def _patch_pyarrow(module: Any) -> None:
    # pyarrow looks the class up here when it makes a file system from a URI.
    module.S3FileSystem = _redirected_file_system(module.S3FileSystem)
    module.resolve_s3_region = _local_region(module.resolve_s3_region)


def _patch_pyarrow_fs(module: Any) -> None:
    # It has copies of both names, from before the hook if it was imported first. Without S3 it has neither.
    if "S3FileSystem" in vars(module):
        import pyarrow._s3fs as s3fs

        module.S3FileSystem, module.resolve_s3_region = s3fs.S3FileSystem, s3fs.resolve_s3_region


def _redirected_file_system(base: type) -> type:
    class SeenAsBase(type(base)):  # type: ignore[misc]
        """Makes file systems that were made before the hook, or unpickled, instances too."""

        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, base)

        def __subclasscheck__(cls, subclass: type) -> bool:
            return issubclass(subclass, base)

    def init(self: Any, access_key: str | None = None, **options: Any) -> None:
        base.__init__(self, **_in_session({"access_key": access_key, **options}))  # type: ignore[misc]

    names = {
        "__init__": init,
        "__doc__": base.__doc__,
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
    }
    return SeenAsBase(base.__name__, (base,), names)


def _in_session(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of an S3FileSystem with what leads it to the session.

    A store that the user names stays, such as a LocalStack of theirs; only AWS's own are replaced.
    """
    session = _session()
    if session is None or not _is_aws(options.get("endpoint_override")):
        return options
    address = urlsplit(session.endpoint_url)
    options |= {
        "endpoint_override": address.netloc,
        "scheme": address.scheme,
        "force_virtual_addressing": False,
        "region": options.get("region") or session.credentials.region,
    }
    # An anonymous client, too, has to say whose it is.
    if not options.get("access_key") and not options.get("role_arn"):
        options |= {
            "access_key": session.credentials.access_key_id,
            "secret_key": session.credentials.secret_access_key,
            "session_token": None,
            "anonymous": False,
        }
    return options


def _is_aws(endpoint: str | None) -> bool:
    if not endpoint:
        return True
    host = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn", ".api.aws")) or host == "amazonaws.com"


def _local_region(original: Callable[[str], str]) -> Callable[[str], str]:
    def resolve_s3_region(bucket: str) -> str:
        # The original asks the real S3 for any bucket of that name.
        session = _session()
        return original(bucket) if session is None else session.credentials.region

    resolve_s3_region.__doc__ = original.__doc__
    return resolve_s3_region


# moto: inside mock_aws there is no endpoint, or boto3 would go there instead of into the mock.


def _patch_mock_aws(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "MockAWS.start", _start_mock)
    wrapt.wrap_function_wrapper(module, "MockAWS.stop", _stop_mock)


def _start_mock(wrapped: Callable[..., Any], mock: Any, args: Any, kwargs: Any) -> Any:
    session = _session()
    if session is None:
        return wrapped(*args, **kwargs)
    session.mocks += 1
    if session.mocks == 1:
        # AWS_ENDPOINT_URL and those of single services, such as AWS_ENDPOINT_URL_S3.
        names = [name for name in os.environ if name.startswith("AWS_ENDPOINT_URL")]
        session.hidden = {name: os.environ.pop(name) for name in names}
    try:
        return wrapped(*args, **kwargs)
    except BaseException:
        _end_mock(session)
        raise


def _stop_mock(wrapped: Callable[..., Any], mock: Any, args: Any, kwargs: Any) -> Any:
    try:
        return wrapped(*args, **kwargs)
    finally:
        if session := _session():
            _end_mock(session)


def _end_mock(session: _Session) -> None:
    # Not below zero: a mock may be stopped once too often, or have been started before the session.
    session.mocks = max(session.mocks - 1, 0)
    if session.mocks == 0:
        os.environ.update(session.hidden)
        session.hidden = {}


# DuckDB: its variables lead to the session, but secrets in the user's home would win over them.


def _patch_duckdb(module: Any) -> None:
    wrapt.wrap_function_wrapper(module, "connect", _connect_duckdb)


def _connect_duckdb(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    # DuckDB's signature: connect(database=":memory:", read_only=False, config={}).
    if ":default:" in (*args[:1], kwargs.get("database")):
        # The connection that the module's own functions have; DuckDB takes no settings for it.
        return wrapped(*args, **kwargs)
    if len(args) < 3:
        return wrapped(*args, **kwargs | {"config": _without_user_secrets(kwargs.get("config") or {})})
    return wrapped(*args[:2], _without_user_secrets(args[2] or {}), *args[3:], **kwargs)


def _without_user_secrets(config: dict[str, Any]) -> dict[str, Any]:
    """Return a connection's settings without the user's persistent secrets (DuckDB, "Secrets Manager")."""
    session = _session()
    if session is None or "secret_directory" in config or "allow_persistent_secrets" in config:
        return config
    if session.directory is None:
        return config | {"allow_persistent_secrets": False}
    return config | {"secret_directory": str(session.directory)}


_HOOKS = {
    "pyarrow._s3fs": _patch_pyarrow,
    "pyarrow.fs": _patch_pyarrow_fs,
    "moto.core.models": _patch_mock_aws,
    "duckdb": _patch_duckdb,
}
