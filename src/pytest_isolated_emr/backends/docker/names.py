"""What a session's containers and networks are called, and the labels by which they are known."""

from __future__ import annotations

from collections.abc import Mapping

RUN_ID_LABEL = "isolated-emr.run-id"
ROLE_LABEL = "isolated-emr.role"


def name_of(run_id: str, role: str = "") -> str:
    """Return the name of a session's network, or of a container with a role.

    :param run_id: the session's.
    :param role: such as ``spark-main-1``.
    """
    return "-".join(filter(None, ["isolated-emr", run_id, role]))


def labels_of(run_id: str, role: str) -> dict[str, str]:
    """Return the labels of something that a session makes.

    :param run_id: the session's.
    :param role: what it is for.
    """
    return {RUN_ID_LABEL: run_id, ROLE_LABEL: role}


def is_of(run_id: str, labels: Mapping[str, str] | None) -> bool:
    """Tell whether labels say that something is a session's.

    :param run_id: the session's.
    :param labels: as the engine has them.
    """
    return (labels or {}).get(RUN_ID_LABEL) == run_id
