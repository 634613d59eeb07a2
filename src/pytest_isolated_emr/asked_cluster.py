"""The cluster that a run asks for: its settings', as conftests' hook changed it."""

from __future__ import annotations

import json
from typing import Any

import botocore
import botocore.session
import pytest
from botocore.validate import ParamValidator

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.request import cluster_request
from pytest_isolated_emr.emr.releases import has_sessions
from pytest_isolated_emr.emr_settings import EmrSettings

_HOOK = "pytest_isolated_emr_run_job_flow"


def asked_cluster(config: pytest.Config, settings: EmrSettings, release_label: str) -> dict[str, Any]:
    """Return the RunJobFlow request of what the user asked for, as boto3 and JSON take it.

    :param config: pytest's, with conftests loaded.
    :param settings: of the emr backend.
    :param release_label: the cluster's release.
    :raises pytest.UsageError: the hook made a request of it that boto3 does not take.
    :raises ClusterRefused: the installed boto3 does not know what the release needs.
    """
    service = botocore.session.Session().get_service_model("emr")
    shape = service.operation_model("RunJobFlow").input_shape
    if has_sessions(release_label) and "SessionEnabled" not in shape.members:
        raise errors.ClusterRefused(
            "The installed boto3 does not know the Spark Connect sessions of EMR.",
            checked=f"botocore {botocore.__version__}: its RunJobFlow has no SessionEnabled, which {release_label} needs",
            cure="pip install 'pytest-isolated-emr[emr]', which brings one that does.",
        )
    request = cluster_request(settings, release_label, has_sessions(release_label))
    config.hook.pytest_isolated_emr_run_job_flow(config=config, request=request)
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise pytest.UsageError(f"{_HOOK}: boto3 does not take the request: {report.generate_report()}")
    try:
        # As it goes to the keeper, and no tuples or classes of the hook's own.
        copied: dict[str, Any] = json.loads(json.dumps(request))
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"{_HOOK}: the request cannot be written as JSON: {error}") from error
    return copied
