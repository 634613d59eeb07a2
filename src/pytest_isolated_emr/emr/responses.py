"""EMR's operations: from a request to its answer. Those that are not in the table are moto's own, or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult, BaseResponse
from moto.core.utils import camelcase_to_underscores
from moto.emr.responses import ElasticMapReduceResponse

from pytest_isolated_emr.emr.models import EmrBackend
from pytest_isolated_emr.emr.operations import (
    clusters,
    instances,
    job_flows,
    releases,
    security,
    sessions,
    settings,
    steps,
)
from pytest_isolated_emr.emr.validation import check_shape, without_nulls
from pytest_isolated_emr.emr.waiting import WAIT_HEADER, wait

Operation = Callable[[EmrBackend, dict[str, Any]], dict[str, Any]]

OPERATIONS: dict[str, Operation] = {
    "RunJobFlow": clusters.run_job_flow,
    "DescribeCluster": clusters.describe_cluster,
    "ListClusters": clusters.list_clusters,
    "TerminateJobFlows": clusters.terminate_job_flows,
    "ListBootstrapActions": clusters.list_bootstrap_actions,
    "AddJobFlowSteps": steps.add_job_flow_steps,
    "CancelSteps": steps.cancel_steps,
    "DescribeStep": steps.describe_step,
    "ListSteps": steps.list_steps,
    "StartSession": sessions.start_session,
    "GetSession": sessions.get_session,
    "GetSessionEndpoint": sessions.get_session_endpoint,
    "ListSessions": sessions.list_sessions,
    "TerminateSession": sessions.terminate_session,
    "AddTags": settings.add_tags,
    "RemoveTags": settings.remove_tags,
    "ModifyCluster": settings.modify_cluster,
    "SetKeepJobFlowAliveWhenNoSteps": settings.set_keep_job_flow_alive_when_no_steps,
    "SetTerminationProtection": settings.set_termination_protection,
    "SetUnhealthyNodeReplacement": settings.set_unhealthy_node_replacement,
    "SetVisibleToAllUsers": settings.set_visible_to_all_users,
    "GetAutoTerminationPolicy": settings.get_auto_termination_policy,
    "PutAutoTerminationPolicy": settings.put_auto_termination_policy,
    "RemoveAutoTerminationPolicy": settings.remove_auto_termination_policy,
    "GetManagedScalingPolicy": settings.get_managed_scaling_policy,
    "PutManagedScalingPolicy": settings.put_managed_scaling_policy,
    "RemoveManagedScalingPolicy": settings.remove_managed_scaling_policy,
    "AddInstanceFleet": instances.add_instance_fleet,
    "AddInstanceGroups": instances.add_instance_groups,
    "ListInstanceFleets": instances.list_instance_fleets,
    "ListInstanceGroups": instances.list_instance_groups,
    "ListInstances": instances.list_instances,
    "ListSupportedInstanceTypes": instances.list_supported_instance_types,
    "ModifyInstanceFleet": instances.modify_instance_fleet,
    "ModifyInstanceGroups": instances.modify_instance_groups,
    "PutAutoScalingPolicy": instances.put_auto_scaling_policy,
    "RemoveAutoScalingPolicy": instances.remove_auto_scaling_policy,
    "DescribeReleaseLabel": releases.describe_release_label,
    "ListReleaseLabels": releases.list_release_labels,
    "CreateSecurityConfiguration": security.create_security_configuration,
    "DeleteSecurityConfiguration": security.delete_security_configuration,
    "DescribeSecurityConfiguration": security.describe_security_configuration,
    "ListSecurityConfigurations": security.list_security_configurations,
    "GetBlockPublicAccessConfiguration": security.get_block_public_access_configuration,
    "PutBlockPublicAccessConfiguration": security.put_block_public_access_configuration,
    "GetClusterSessionCredentials": security.get_cluster_session_credentials,
    "DescribeJobFlows": job_flows.describe_job_flows,
}


class EmrResponses(ElasticMapReduceResponse):  # type: ignore[misc]
    """Answers requests; moto calls the method that has the operation's name."""

    def get_region_from_url(self, request: Any, full_url: str) -> str:
        """Return the region that a request is signed for. moto's EMR looks for it in Amazon's host names alone.

        :param request: the request.
        :param full_url: its URL.
        """
        region: str = BaseResponse.get_region_from_url(self, request, full_url)
        return region


def _method(name: str, operation: Operation) -> Callable[[EmrResponses], ActionResult]:
    def respond(self: EmrResponses) -> ActionResult:
        request = without_nulls(json.loads(self.body or "{}"))
        check_shape(name, request)
        seconds = self.headers.get(WAIT_HEADER)
        if seconds:
            wait(self.backend, request, float(seconds))
        return ActionResult(operation(self.backend, request))

    return respond


for _name, _operation in OPERATIONS.items():
    setattr(EmrResponses, camelcase_to_underscores(_name), _method(_name, _operation))
