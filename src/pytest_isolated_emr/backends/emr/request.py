"""The RunJobFlow request of a session: what the user asked for, and what is the session's own.

https://docs.aws.amazon.com/emr/latest/APIReference/API_RunJobFlow.html
"""

from __future__ import annotations

from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.tags import SessionIdentity, name_of
from pytest_isolated_emr.emr.releases import has_sessions
from pytest_isolated_emr.emr_settings import (
    DEFAULT_INSTANCE_TYPE,
    MOST_BOOTSTRAP_ACTIONS,
    MOST_TAGS,
    SPARK,
    EmrSettings,
)

#: All tags of ours start with it.
_OUR_TAGS = "isolated-emr-"
#: In seconds: https://docs.aws.amazon.com/emr/latest/APIReference/API_AutoTerminationPolicy.html
_LEAST_IDLE, _MOST_IDLE = 60, 604_800
#: Three ways to say which instances there are, of which RunJobFlow takes one.
_SHORT_FORM = ("MasterInstanceType", "SlaveInstanceType", "InstanceCount")
_WAYS = (("InstanceGroups",), ("InstanceFleets",), _SHORT_FORM)
_LISTS = ("AdditionalMasterSecurityGroups", "AdditionalSlaveSecurityGroups")


def cluster_request(settings: EmrSettings, release_label: str, has_sessions: bool) -> dict[str, Any]:
    """Return the request of what the user asked for, which a hook may change before it becomes a session's.

    :param settings: what was asked for.
    :param release_label: the cluster's release.
    :param has_sessions: whether the release has Spark Connect sessions.
    """
    instances: dict[str, Any] = {
        "InstanceGroups": _groups(settings),
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
    }
    if settings.subnet:
        instances["Ec2SubnetId"] = settings.subnet
    if settings.key_name:
        instances["Ec2KeyName"] = settings.key_name
    for name, group in settings.security_groups.items():
        instances[name] = [group] if name in _LISTS else group
    request: dict[str, Any] = {
        "Name": "isolated-emr",
        "ReleaseLabel": release_label,
        "Applications": [{"Name": name} for name in settings.applications],
        "Instances": instances,
        "ServiceRole": settings.service_role,
        "JobFlowRole": settings.instance_profile,
        "AutoTerminationPolicy": {"IdleTimeout": settings.idle_minutes * 60},
        "Tags": [{"Key": key, "Value": value} for key, value in settings.tags.items()],
    }
    if settings.configurations:
        request["Configurations"] = [dict(configuration) for configuration in settings.configurations]
    if settings.bootstrap_actions:
        request["BootstrapActions"] = [dict(action) for action in settings.bootstrap_actions]
    if settings.log_uri:
        request["LogUri"] = settings.log_uri
    if has_sessions:
        request["SessionEnabled"] = True
    return request


def _groups(settings: EmrSettings) -> list[dict[str, Any]]:
    counts = {"MASTER": 1, "CORE": settings.instance_count - 1}
    return [
        {
            "InstanceRole": role,
            "InstanceType": settings.instance_type,
            "InstanceCount": count,
            "Market": "SPOT" if settings.spot else "ON_DEMAND",
        }
        for role, count in counts.items()
        if count
    ]


def overlaid(request: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return a request with what a test asks for in the place of what the user asked for.

    Instances and tags are laid over each other one by one; of everything else the test's is all.

    :param request: what the user asked for; it stays as it is.
    :param over: the test's arguments of RunJobFlow.
    """
    merged = {**request, **over}
    if "Instances" in over:
        merged["Instances"] = _overlaid_instances(request.get("Instances") or {}, over["Instances"])
    if "Tags" in over:
        tags = [*(request.get("Tags") or ()), *over["Tags"]]
        merged["Tags"] = list({tag.get("Key"): tag for tag in tags}.values())
    return merged


def _overlaid_instances(instances: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(instances)
    if any(name in over for way in _WAYS for name in way):
        for name in (name for way in _WAYS for name in way):
            merged.pop(name, None)
    if {"Ec2SubnetId", "Ec2SubnetIds"} & set(over):
        merged.pop("Ec2SubnetId", None)
        merged.pop("Ec2SubnetIds", None)
    if set(_SHORT_FORM) & set(over):
        merged |= _short_form(instances, over)
    merged |= over
    if "InstanceFleets" in merged and "Ec2SubnetId" in merged:
        # That is for groups: https://docs.aws.amazon.com/emr/latest/APIReference/API_JobFlowInstancesConfig.html
        merged["Ec2SubnetIds"] = [merged.pop("Ec2SubnetId")]
    return merged


def _short_form(instances: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Return what RunJobFlow needs beside the part of the short form that a test says."""
    groups = instances.get("InstanceGroups") or ()
    types = [group["InstanceType"] for group in groups if group.get("InstanceRole") == "MASTER"]
    master = over.get("MasterInstanceType") or next(iter(types), DEFAULT_INSTANCE_TYPE)
    count = over.get("InstanceCount", 1)
    others = {"SlaveInstanceType": master} if count > 1 else {}
    return {"MasterInstanceType": master, "InstanceCount": count, **others}


def session_request(
    request: dict[str, Any],
    identity: SessionIdentity,
    *,
    idle_seconds: int,
    log_uri: str,
    timer: dict[str, Any],
    which: str = "",
) -> dict[str, Any]:
    """Return a request with what is the session's own in it, whatever a hook did to it. It may be its own result, too.

    :param request: what the user asked for; it stays as it is.
    :param identity: whose the cluster is.
    :param idle_seconds: the longest time without work after which AWS ends the cluster; a shorter one of the user's stays.
    :param log_uri: where logs go if the user says nothing.
    :param timer: the bootstrap action that ends the cluster at its longest time.
    :param which: which of the session's clusters it is, see :func:`tags.name_of`.
    :raises ClusterRefused: with the session's own there are more tags or bootstrap actions than AWS takes.
    """
    own: dict[str, Any] = {
        "Name": name_of(identity.run_id, which),
        "Tags": _tags(request, identity),
        "Applications": _applications(request),
        "BootstrapActions": _bootstrap_actions(request, timer),
        "Instances": {
            **(request.get("Instances") or {}),
            "KeepJobFlowAliveWhenNoSteps": True,
            "TerminationProtected": False,
        },
        "AutoTerminationPolicy": {"IdleTimeout": _idle_seconds(request, idle_seconds)},
        "LogUri": request.get("LogUri") or log_uri,
    }
    merged = {**request, **own}
    merged.pop("SessionEnabled", None)
    return {**merged, "SessionEnabled": True} if has_sessions(request.get("ReleaseLabel")) else merged


def _tags(request: dict[str, Any], identity: SessionIdentity) -> list[dict[str, str]]:
    users = [
        tag for tag in request.get("Tags") or () if not str(tag.get("Key")).casefold().startswith(_OUR_TAGS)
    ]
    tags = [*users, *identity.tags()]
    if len(tags) > MOST_TAGS:
        raise errors.ClusterRefused(
            f"A cluster has at most {MOST_TAGS} tags.",
            checked=f"the RunJobFlow request: {len(users)} of yours, {len(tags) - len(users)} of the session's",
            cure="Take some from isolated_emr_tags, or from what pytest_isolated_emr_run_job_flow adds.",
        )
    return tags


def _applications(request: dict[str, Any]) -> list[dict[str, Any]]:
    users = list(request.get("Applications") or ())
    names = [str(application.get("Name")).casefold() for application in users]
    return users if SPARK.casefold() in names else [{"Name": SPARK}, *users]


def _bootstrap_actions(request: dict[str, Any], timer: dict[str, Any]) -> list[dict[str, Any]]:
    # The first: one that fails or hangs would keep a later one from running.
    actions = [timer, *(action for action in request.get("BootstrapActions") or () if action != timer)]
    if len(actions) > MOST_BOOTSTRAP_ACTIONS:
        raise errors.ClusterRefused(
            f"A cluster has at most {MOST_BOOTSTRAP_ACTIONS} bootstrap actions.",
            checked=f"the RunJobFlow request: {len(actions) - 1} of yours, 1 of the session's",
            cure="Put some of them into one script.",
        )
    return actions


def _idle_seconds(request: dict[str, Any], longest: int) -> int:
    asked = (request.get("AutoTerminationPolicy") or {}).get("IdleTimeout")
    seconds = longest if asked is None else min(int(asked), longest)
    return max(_LEAST_IDLE, min(seconds, _MOST_IDLE))
