"""The container engine as tests look at it, by Docker's own client."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

import docker

from pytest_isolated_emr.backends.docker.names import RUN_ID_LABEL

#: What containers are made of in tests; `make test` builds it.
IMAGE = os.environ.get("ISOLATED_EMR_TEST_IMAGE", "isolated-emr:python{}.{}".format(*sys.version_info))


@cache
def engine() -> Any:
    return docker.from_env()


def containers_of(run_id: str) -> list[Any]:
    return list(
        engine().containers.list(all=True, filters={"label": f"{RUN_ID_LABEL}={run_id}"}, ignore_removed=True)
    )


def things_of(run_id: str) -> list[str]:
    """The names of all containers, networks and volumes of a session."""
    of_session = {"label": f"{RUN_ID_LABEL}={run_id}"}
    client = engine()
    found = [*containers_of(run_id), *client.networks.list(filters=of_session)]
    found += client.volumes.list(filters=of_session)
    by_name = [
        *client.containers.list(all=True, ignore_removed=True),
        *client.networks.list(),
        *client.volumes.list(),
    ]
    return sorted({thing.name for thing in found} | {thing.name for thing in by_name if run_id in thing.name})
