"""The container engine: the connection to it, what it can do, and what its failures mean."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_isolated_emr import errors

if TYPE_CHECKING:
    from testcontainers.core.docker_client import DockerClient

#: The version of the engine's API that Docker 20.10 has, the oldest that the tests have run on.
OLDEST_API = (1, 41)
_UNIX = "http+docker://"
_NO_ADDRESSES = "address pool"
_START = (
    "Start Docker (`systemctl start docker`, or Docker Desktop), or let DOCKER_HOST name the socket of an engine on this "
    "machine; `docker info` shows whether it answers."
)


@dataclass(frozen=True)
class Engine:
    """An engine that answers.

    :param client: testcontainers' client of it.
    :param id: its own name of itself, which tells it from another engine that ``DOCKER_HOST`` names.
    :param memory: of the machine that its containers run on, in bytes.
    :param cpus: how many that machine has.
    :param is_desktop: whether its containers run in a virtual machine, as with Docker Desktop.
    """

    client: DockerClient
    id: str
    memory: int
    cpus: int
    is_desktop: bool

    @classmethod
    def connect(cls, timeout: float = 60) -> Engine:
        """Connect to the engine that Docker's own programs would use.

        :param timeout: how long one answer may take, in seconds.
        :raises DockerLibraryMissing: the client library is not installed.
        :raises EngineUnavailable: no engine answers, or it is on another machine.
        :raises EngineForbidden: it may not be used by this user.
        :raises EngineTooOld: it lacks what is needed.
        """
        client = _client(timeout)
        with engine_errors("connecting to the engine"):
            api = client.client.api
            _check_place(api.base_url)
            version, info = client.client.version(), client.client.info()
            _check_version(version)
            _check_kind(version, info)
        return cls(
            client=client,
            id=info["ID"],
            memory=int(info["MemTotal"]),
            cpus=int(info["NCPU"]),
            # Elsewhere than on Linux there always is a virtual machine.
            is_desktop=sys.platform != "linux" or "Desktop" in info.get("OperatingSystem", ""),
        )

    @cached_property
    def user(self) -> str:
        """The user that containers run as: whoever calls, so that files in scratch are theirs."""
        return f"{os.getuid()}:{os.getgid()}"

    @property
    def api(self) -> Any:
        """Docker's own low-level client."""
        return self.client.client.api

    def close(self) -> None:
        """Let go of the connection."""
        self.client.client.close()


def _client(timeout: float) -> DockerClient:
    try:
        from testcontainers.core.config import testcontainers_config
        from testcontainers.core.docker_client import DockerClient
    except ImportError as error:
        raise errors.DockerLibraryMissing(
            "The docker backend needs testcontainers, which is not installed.",
            checked=f"importing testcontainers: {error}",
            cure="pip install 'pytest-isolated-emr[docker]'",
        ) from error
    # In this process alone, the keeper's or the command line's: it removes what it made itself.
    testcontainers_config.ryuk_disabled = True
    with engine_errors("connecting to the engine"):
        return DockerClient(timeout=timeout)


def _check_place(base_url: str) -> None:
    if not base_url.startswith(_UNIX):
        raise errors.EngineUnavailable(
            "The engine is not on this machine.",
            checked=f"DOCKER_HOST or the current context leads to {base_url}",
            cure="Use an engine with a Unix socket: tests and containers share directories and the address 127.0.0.1.",
        )


def _check_version(version: dict[str, Any]) -> None:
    given = tuple(int(part) for part in version["ApiVersion"].split(".")[:2])
    if given < OLDEST_API:
        raise errors.EngineTooOld(
            f"The engine {version.get('Version', '')} is too old.",
            checked=f"its API is {version['ApiVersion']}, needed is {'.'.join(map(str, OLDEST_API))}",
            cure="Install Docker 20.10 or newer.",
        )


def _check_kind(version: dict[str, Any], info: dict[str, Any]) -> None:
    """Refuse engines whose networks do not hold what is promised."""
    is_rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
    names = [component.get("Name", "") for component in version.get("Components") or ()]
    if is_rootless and sys.platform == "linux":
        kind, why = (
            "rootless",
            "its networks have no address on this machine, where the session's endpoint is",
        )
    elif any("Podman" in name for name in names):
        kind, why = "Podman", "it was never tried whether its networks can be closed"
    else:
        return
    raise errors.EngineUnavailable(
        f"The engine is {kind}, which does not do.",
        checked=f"what it says of itself; {why}",
        cure="Let DOCKER_HOST, or Docker's context, name a Docker engine that runs as root, or Docker Desktop.",
    )


@contextmanager
def engine_errors(doing: str) -> Iterator[None]:
    """Turn failures of the engine, and of the way to it, into errors with their cure.

    What is not there is no failure of the engine's: its ``docker.errors.NotFound`` passes.

    :param doing: what is being done, for the error.
    """
    import requests
    from docker.errors import APIError, DockerException, NotFound

    try:
        yield
    except APIError as error:
        words = str(error.explanation or error)
        # The engine has the same status for a network that gets no addresses.
        if isinstance(error, NotFound) and _NO_ADDRESSES not in words:
            raise
        raise _refused(doing, words) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise _unreachable(doing, error) from error


def _refused(doing: str, words: str) -> errors.IsolatedEmrError:
    checked = f"{doing}: the engine said: {words.strip()}"
    if "no space left on device" in words.lower():
        return errors.EngineFailed(
            "The engine's disk is full.",
            checked=checked,
            cure="Make room where the engine keeps its data (`docker system df` shows what takes it).",
        )
    if _NO_ADDRESSES in words:
        return errors.EngineFailed(
            "The engine has no range of addresses left for another network.",
            checked=checked,
            cure="Remove networks that nobody uses (`docker network ls`; those of dead sessions: `isolated-emr sweep "
            "--delete`), or give the engine more by default-address-pools.",
        )
    return errors.EngineFailed(
        "The engine could not do what was asked of it.",
        checked=checked,
        cure="Mend what the engine names; its own log says more.",
    )


def _unreachable(doing: str, error: BaseException) -> errors.IsolatedEmrError:
    import requests

    causes = list(_causes(error))
    checked = f"{doing}: {causes[-1]}"
    if any(isinstance(cause, PermissionError) for cause in causes):
        return errors.EngineForbidden(
            "This user may not use the engine.",
            checked=checked,
            cure="Add the user to the group of its socket (`sudo usermod -aG docker $USER`, then log in anew).",
        )
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return errors.EngineSlow(
            "The engine did not answer in time.",
            checked=checked,
            cure="See what keeps it busy (`docker info`, its log, the machine's disk), and run again.",
        )
    return errors.EngineUnavailable("No container engine answers.", checked=checked, cure=_START)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what is behind it: urllib3 and requests keep that among their arguments."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        current = waiting.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [arg for arg in current.args if isinstance(arg, BaseException)]
        waiting += [current.__cause__, current.__context__]
