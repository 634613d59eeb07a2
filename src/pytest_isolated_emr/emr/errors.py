"""EMR's own errors, as its API words them."""

from __future__ import annotations

from moto.emr.exceptions import InvalidRequestException, ValidationException

__all__ = [
    "InvalidRequestException",
    "ValidationException",
    "no_such_cluster",
    "no_such_job_flow",
    "no_such_step",
    "too_many_steps",
]


def no_such_cluster(cluster_id: str) -> InvalidRequestException:
    """Return the error of a request for a cluster that does not exist."""
    return InvalidRequestException(f"Cluster id '{cluster_id}' is not valid.")


def no_such_step(step_id: str) -> InvalidRequestException:
    """Return the error of a request for a step that does not exist."""
    return InvalidRequestException(f"Step id '{step_id}' is not valid.")


def no_such_job_flow() -> ValidationException:
    """Return the error of an operation on job flows, as clusters were once called, that do not exist."""
    return ValidationException("Specified job flow ID not valid.")


def too_many_steps() -> ValidationException:
    """Return the error of steps that a cluster has no room for."""
    return ValidationException(
        "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded."
    )
