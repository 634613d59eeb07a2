"""The RunJobFlow request: botocore takes it whatever was asked for, and the session's own is in it whatever a hook did."""

from __future__ import annotations

import copy
from datetime import datetime, timezone
from typing import Any

import botocore.session
import pytest
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import settings as of_hypothesis
from hypothesis import strategies as st

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.request import cluster_request, overlaid, session_request
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.emr.releases import has_sessions
from pytest_isolated_emr.emr_settings import SECURITY_GROUPS, EmrSettings

SHAPE = botocore.session.get_session().get_service_model("emr").operation_model("RunJobFlow").input_shape
RUN_ID = "20261123t211623-9f3c2a"
IDENTITY = SessionIdentity(
    RUN_ID,
    "ada",
    "laptop",
    datetime(2026, 11, 23, 22, 0, tzinfo=timezone.utc),
    f"s3://etl-tests/runs/{RUN_ID}",
)
LOGS = f"s3://etl-tests/runs/{RUN_ID}/logs/"
TIMER = {
    "Name": "timer",
    "ScriptBootstrapAction": {"Path": f"s3://etl-tests/runs/{RUN_ID}/code/timer.sh", "Args": ["7200"]},
}
WITH_SESSIONS, WITHOUT = "emr-spark-8.0.0", "emr-7.10.0"


def assert_valid(request: dict[str, Any]) -> None:
    report = ParamValidator().validate(request, SHAPE)
    assert not report.has_errors(), report.generate_report()


def asked(label: str = WITH_SESSIONS, **settings: Any) -> dict[str, Any]:
    return cluster_request(EmrSettings("etl-tests", "runs", **settings), label, has_sessions(label))


def of_session(request: dict[str, Any], idle_seconds: int = 900) -> dict[str, Any]:
    return session_request(
        request, IDENTITY, idle_seconds=idle_seconds, log_uri=LOGS, timer=copy.deepcopy(TIMER)
    )


words = st.text("abcXYZ-_0189", min_size=1, max_size=12)
configurations: Any = st.deferred(
    lambda: st.lists(
        st.fixed_dictionaries(
            {"Classification": words},
            optional={"Properties": st.dictionaries(words, words), "Configurations": configurations},
        ),
        max_size=2,
    )
)
settings = st.builds(
    EmrSettings,
    bucket=st.just("etl-tests"),
    prefix=words,
    instance_count=st.integers(1, 100),
    spot=st.booleans(),
    subnet=st.none() | st.just("subnet-01234567"),
    security_groups=st.dictionaries(st.sampled_from(SECURITY_GROUPS), st.just("sg-01234567")),
    key_name=st.none() | words,
    applications=st.lists(words).map(lambda names: ("Spark", *names)),
    configurations=configurations.map(tuple),
    bootstrap_actions=st.lists(
        st.fixed_dictionaries(
            {
                "Name": words,
                "ScriptBootstrapAction": st.fixed_dictionaries(
                    {"Path": words, "Args": st.lists(words, max_size=3)}
                ),
            }
        ),
        max_size=15,
    ).map(tuple),
    log_uri=st.none() | st.just("s3://logs/emr"),
    tags=st.dictionaries(words, words, max_size=45),
    idle_minutes=st.integers(1, 10080),
)


@of_hypothesis(deadline=None)
@given(settings=settings, label=st.sampled_from([WITH_SESSIONS, WITHOUT]))
def test_botocore_takes_whatever_can_be_asked_for(settings: EmrSettings, label: str):
    request = cluster_request(settings, label, has_sessions(label))
    assert_valid(request)
    before = copy.deepcopy(request)
    whole = of_session(request, settings.idle_minutes * 60)
    assert request == before
    assert_valid(whole)
    assert_own(whole)
    assert of_session(whole, settings.idle_minutes * 60) == whole
    assert sum(group["InstanceCount"] for group in whole["Instances"]["InstanceGroups"]) == (
        settings.instance_count
    )


def assert_own(request: dict[str, Any]) -> None:
    assert request["Name"] == f"isolated-emr {RUN_ID}"
    tags = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    assert len(tags) == len(request["Tags"]) <= 50
    assert tags.items() >= {tag["Key"]: tag["Value"] for tag in IDENTITY.tags()}.items()
    assert sum(key.casefold().startswith("isolated-emr-") for key in tags) == len(IDENTITY.tags())
    assert 60 <= request["AutoTerminationPolicy"]["IdleTimeout"] <= 604_800
    assert request["Instances"]["KeepJobFlowAliveWhenNoSteps"] is True
    assert request["Instances"]["TerminationProtected"] is False
    assert request["BootstrapActions"].count(TIMER) == 1
    assert request["BootstrapActions"][0] == TIMER
    assert len(request["BootstrapActions"]) <= 16
    assert request["LogUri"]
    assert [app["Name"] for app in request["Applications"]].count("Spark") >= 1
    assert request.get("SessionEnabled", False) == has_sessions(request.get("ReleaseLabel"))


def test_a_cluster_is_small_if_nothing_is_said():
    assert asked()["Instances"]["InstanceGroups"] == [
        {"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1, "Market": "ON_DEMAND"}
    ]


def test_more_instances_are_core_ones():
    groups = asked(instance_count=3, instance_type="r7g.large", spot=True)["Instances"]["InstanceGroups"]
    assert groups == [
        {"InstanceRole": "MASTER", "InstanceType": "r7g.large", "InstanceCount": 1, "Market": "SPOT"},
        {"InstanceRole": "CORE", "InstanceType": "r7g.large", "InstanceCount": 2, "Market": "SPOT"},
    ]


def test_what_was_asked_for_is_in_the_request():
    configuration = {"Classification": "spark-defaults", "Properties": {"a": "b"}}
    action = {"Name": "a", "ScriptBootstrapAction": {"Path": "s3://code/a.sh", "Args": []}}
    request = of_session(
        asked(
            subnet="subnet-01234567",
            key_name="mine",
            service_role="role",
            instance_profile="profile",
            security_groups={
                "ServiceAccessSecurityGroup": "sg-01234567",
                "AdditionalMasterSecurityGroups": "sg-76543210",
            },
            applications=("Spark", "Hive"),
            configurations=(configuration,),
            bootstrap_actions=(action,),
            log_uri="s3://logs/emr",
            tags={"team": "etl"},
        )
    )
    instances = request["Instances"]
    assert (instances["Ec2SubnetId"], instances["Ec2KeyName"]) == ("subnet-01234567", "mine")
    assert instances["ServiceAccessSecurityGroup"] == "sg-01234567"
    assert instances["AdditionalMasterSecurityGroups"] == ["sg-76543210"]
    assert (request["ServiceRole"], request["JobFlowRole"]) == ("role", "profile")
    assert request["Applications"] == [{"Name": "Spark"}, {"Name": "Hive"}]
    assert request["Configurations"] == [configuration]
    assert request["BootstrapActions"] == [TIMER, action]
    assert request["LogUri"] == "s3://logs/emr"
    assert {"Key": "team", "Value": "etl"} in request["Tags"]


@pytest.mark.parametrize(
    "change",
    [
        {"Name": "mine"},
        {"Tags": [{"Key": "isolated-emr-run-id", "Value": "other"}, {"Key": "team", "Value": "etl"}]},
        {"Tags": [{"Key": "Isolated-EMR-Expiry", "Value": "never"}]},
        {"Tags": None},
        {"AutoTerminationPolicy": {}},
        {"AutoTerminationPolicy": {"IdleTimeout": 604_800}},
        {"Instances": {"KeepJobFlowAliveWhenNoSteps": False, "TerminationProtected": True}},
        {"BootstrapActions": []},
        {"BootstrapActions": [{"Name": "a", "ScriptBootstrapAction": {"Path": "s3://code/a.sh"}}, TIMER]},
        {"LogUri": ""},
        {"Applications": []},
        {"Applications": [{"Name": "Hive"}]},
        {"SessionEnabled": False},
        {"ReleaseLabel": WITHOUT},
    ],
)
def test_what_a_hook_changed_of_the_sessions_own_is_put_back(change: dict[str, Any]):
    request = of_session({**asked(), **change})
    assert_own(request)
    assert_valid(request)
    assert request["AutoTerminationPolicy"]["IdleTimeout"] <= 900


@pytest.mark.parametrize("missing", ["Tags", "AutoTerminationPolicy", "Applications", "LogUri", "Name"])
def test_what_a_hook_removed_is_put_back(missing: str):
    request = asked(log_uri="s3://logs/emr")
    del request[missing]
    assert_own(of_session(request))


def test_what_a_hook_added_stays():
    request = {**asked(), "StepConcurrencyLevel": 4, "VisibleToAllUsers": False}
    request["Instances"]["Ec2SubnetIds"] = ["subnet-01234567"]
    whole = of_session(request)
    assert (whole["StepConcurrencyLevel"], whole["VisibleToAllUsers"]) == (4, False)
    assert whole["Instances"]["Ec2SubnetIds"] == ["subnet-01234567"]


def test_what_a_test_asks_for_is_laid_over_it():
    base = asked(
        subnet="subnet-01234567", tags={"team": "etl", "cost": "1"}, key_name="mine", instance_count=3
    )
    before = copy.deepcopy(base)
    over = {
        "ReleaseLabel": WITHOUT,
        "Applications": [{"Name": "Hive"}],
        "Tags": [{"Key": "cost", "Value": "2"}, {"Key": "flag", "Value": ""}],
    }
    request = overlaid(base, over)
    assert base == before
    assert request["Tags"] == [{"Key": "team", "Value": "etl"}, *over["Tags"]]
    assert {name: request[name] for name in ("ReleaseLabel", "Applications")} == {
        name: over[name] for name in ("ReleaseLabel", "Applications")
    }
    assert request["Instances"] == base["Instances"]
    whole = of_session(request)
    assert_own(whole)
    assert_valid(whole)


@pytest.mark.parametrize(
    ("over", "ways", "subnet"),
    [
        ({"Ec2KeyName": "other"}, {"InstanceGroups"}, {"Ec2SubnetId": "subnet-01234567"}),
        ({"InstanceGroups": []}, {"InstanceGroups"}, {"Ec2SubnetId": "subnet-01234567"}),
        ({"InstanceFleets": []}, {"InstanceFleets"}, {"Ec2SubnetIds": ["subnet-01234567"]}),
        (
            {"InstanceCount": 2},
            {"InstanceCount", "MasterInstanceType", "SlaveInstanceType"},
            {"Ec2SubnetId": "subnet-01234567"},
        ),
        (
            {"MasterInstanceType": "r7g.large"},
            {"InstanceCount", "MasterInstanceType"},
            {"Ec2SubnetId": "subnet-01234567"},
        ),
        (
            {"InstanceFleets": [], "Ec2SubnetIds": ["subnet-1"]},
            {"InstanceFleets"},
            {"Ec2SubnetIds": ["subnet-1"]},
        ),
        ({"Ec2SubnetId": "subnet-1"}, {"InstanceGroups"}, {"Ec2SubnetId": "subnet-1"}),
    ],
)
def test_a_test_says_in_one_way_which_instances_there_are(
    over: dict[str, Any], ways: set[str], subnet: dict[str, Any]
):
    instances = overlaid(asked(subnet="subnet-01234567"), {"Instances": over})["Instances"]
    said = {
        "InstanceGroups",
        "InstanceFleets",
        "InstanceCount",
        "MasterInstanceType",
        "SlaveInstanceType",
    }
    assert set(instances) & said == ways
    assert {name: instances[name] for name in instances if name.startswith("Ec2Subnet")} == subnet
    assert instances.items() >= {name: over[name] for name in over}.items()


@pytest.mark.parametrize("which", ["", "gw0-1", "main-2 nightly"])
def test_which_cluster_it_is_stands_behind_the_run_id(which: str):
    request = session_request(asked(), IDENTITY, idle_seconds=900, log_uri=LOGS, timer=TIMER, which=which)
    assert request["Name"] == f"isolated-emr {RUN_ID} {which}".strip()
    assert_own({**request, "Name": f"isolated-emr {RUN_ID}"})


@pytest.mark.parametrize(("asked_for", "result"), [(1, 60), (60, 60), (300, 300), (900, 900), (9000, 900)])
def test_the_shorter_idle_time_is_taken(asked_for: int, result: int):
    request = {**asked(), "AutoTerminationPolicy": {"IdleTimeout": asked_for}}
    assert of_session(request)["AutoTerminationPolicy"] == {"IdleTimeout": result}


def test_more_than_aws_takes_is_refused():
    tags = [{"Key": f"k{number}", "Value": ""} for number in range(46)]
    with pytest.raises(errors.ClusterRefused, match="at most 50 tags"):
        of_session({**asked(), "Tags": tags})
    actions = [
        {"Name": str(number), "ScriptBootstrapAction": {"Path": "s3://code/a.sh"}} for number in range(16)
    ]
    with pytest.raises(errors.ClusterRefused, match="at most 16 bootstrap actions"):
        of_session({**asked(), "BootstrapActions": actions})


@pytest.mark.parametrize(
    ("label", "has"),
    [
        ("emr-spark-8.0.0", True),
        ("emr-spark-8.0-preview", True),
        ("emr-spark-10.1.0", True),
        ("emr-spark-7.0.0", False),
        ("emr-8.0.0", False),
        ("emr-7.10.0", False),
        ("emr-spark-x", False),
        ("", False),
        (None, False),
    ],
)
def test_which_releases_have_sessions(label: str | None, has: bool):
    assert has_sessions(label) is has
