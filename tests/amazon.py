"""What stands in for Amazon's AWS: the private AWS of a session of its own, whose EMR really runs clusters."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.pace import PACE_VARIABLE
from tests.emr_backend.s3_endpoint import REGION, session_variables

BUCKET, PREFIX = "amazon-scratch", "tests"
#: The role that tests may be limited to.
ROLE = "arn:aws:iam::123456789012:role/isolated-emr-tests"
#: How a run on it is started.
ON_AMAZON = (
    "--isolated-emr",
    "--isolated-emr-backend=emr",
    f"--isolated-emr-scratch=s3://{BUCKET}/{PREFIX}",
    f"--isolated-emr-region={REGION}",
)
#: Its clusters are there at once.
_PACE = {"poll": 0.1, "longest_poll": 1, "settle": 2, "logs": 20, "reports": 20}
_TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})


@dataclass(frozen=True)
class Amazon:
    """It, as tests look at it past the code under test.

    :param variables: how a run reaches it.
    """

    variables: dict[str, str]

    def client(self, service: str) -> Any:
        """Return a client of it."""
        return boto3.client(
            service,
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.variables["AWS_SECRET_ACCESS_KEY"],
            region_name=REGION,
        )

    def clusters_of(self, run_id: str) -> list[dict[str, Any]]:
        """Return all clusters that a session ever had."""
        found = self.client("emr").get_paginator("list_clusters").paginate()
        named = [each for page in found for each in page["Clusters"]]
        return [each for each in named if tags.run_id_of(each["Name"]) == run_id]

    def things_of(self, run_id: str) -> list[str]:
        """Return the names of all that a session has there: clusters that live, objects, slots."""
        live = [
            each["Id"]
            for each in self.clusters_of(run_id)
            if not each["Status"]["State"].startswith("TERMINATED")
        ]
        s3 = self.client("s3")
        pages = s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/{run_id}/")
        keys = [each["Key"] for page in pages for each in page.get("Versions", ())]
        slots = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{PREFIX}/.isolated-emr/").get("Contents", ())
        held = [
            each["Key"]
            for each in slots
            if run_id in s3.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read().decode()
        ]
        return [*live, *keys, *held]


@contextlib.contextmanager
def amazon(home: Path) -> Iterator[Amazon]:
    """Start it, with a bucket and EMR's roles.

    :param home: a state root for it.
    """
    with session_variables(home) as variables:
        it = Amazon({**variables, PACE_VARIABLE: json.dumps(_PACE)})
        it.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        iam = it.client("iam")
        for role in ("EMR_DefaultRole", "EMR_EC2_DefaultRole", ROLE.rpartition("/")[2]):
            iam.create_role(RoleName=role, AssumeRolePolicyDocument=_TRUST)
        iam.create_instance_profile(InstanceProfileName="EMR_EC2_DefaultRole")
        iam.add_role_to_instance_profile(
            InstanceProfileName="EMR_EC2_DefaultRole", RoleName="EMR_EC2_DefaultRole"
        )
        yield it
