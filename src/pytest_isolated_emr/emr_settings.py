"""What a session on AWS was asked for, checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_INSTANCE_TYPE = "m5.xlarge"


@dataclass(frozen=True)
class EmrSettings:
    """What the cluster of the emr backend was asked to be.

    :param bucket: of the scratch.
    :param prefix: of the scratch in the bucket, without slashes at its ends; never empty.
    :param role_arn: the role that pytest's own process gets, limited to the run; None for the user's own credentials.
    :param instance_type: of all instances.
    :param instance_count: how many, the primary one included.
    :param spot: whether they are bought on the spot market.
    :param subnet: its id; None for AWS's choice.
    :param service_role: EMR's own role.
    :param instance_profile: that of the instances.
    :param security_groups: EMR's names of them (``EmrManagedMasterSecurityGroup`` and the others) and their ids.
    :param key_name: an EC2 key pair for ssh.
    :param applications: names, Spark always among them.
    :param configurations: as RunJobFlow takes them.
    :param bootstrap_actions: as RunJobFlow takes them.
    :param log_uri: where EMR puts logs; None for a place below the run's prefix.
    :param tags: more tags of the cluster.
    :param idle_minutes: after this long without work AWS ends the cluster.
    :param most_minutes: after this long the cluster ends in any case.
    :param max_sessions: how many sessions may run at once on this account and scratch.
    :param wait_seconds: how long to wait for the others' end.
    :param starts_at_once: whether the cluster starts with pytest, before any test is known to need it.
    :param python_files: files and directories that Spark's Python workers get too.
    """

    bucket: str
    prefix: str
    role_arn: str | None = None
    instance_type: str = DEFAULT_INSTANCE_TYPE
    instance_count: int = 1
    spot: bool = False
    subnet: str | None = None
    service_role: str = "EMR_DefaultRole"
    instance_profile: str = "EMR_EC2_DefaultRole"
    security_groups: dict[str, str] = field(default_factory=dict)
    key_name: str | None = None
    applications: tuple[str, ...] = ("Spark",)
    configurations: tuple[dict[str, Any], ...] = ()
    bootstrap_actions: tuple[dict[str, Any], ...] = ()
    log_uri: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    idle_minutes: int = 15
    most_minutes: int = 120
    max_sessions: int = 10
    wait_seconds: float = 1800.0
    starts_at_once: bool = False
    python_files: tuple[str, ...] = ()
