"""What a session on AWS was asked for, checked. It is loaded only in a run on the emr backend."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pytest_isolated_emr import emr_configurations
from pytest_isolated_emr.emr_options import LAUNCHES
from pytest_isolated_emr.given_settings import Given, choice, flag, given, ini
from pytest_isolated_emr.settings import BUCKET_NAME

DEFAULT_INSTANCE_TYPE = "m5.xlarge"
#: The one that a session cannot do without.
SPARK = "Spark"
#: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html#tag-restrictions, which EMR has too.
MOST_TAGS = 50
#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-bootstrap.html
MOST_BOOTSTRAP_ACTIONS = 16
#: Those of ours: see ``backends/emr/tags.py``.
_OUR_TAGS = 5
_MOST_INSTANCES = 100
#: AWS's longest idle time is seven days: https://docs.aws.amazon.com/emr/latest/APIReference/API_AutoTerminationPolicy.html
_MOST_MINUTES = 7 * 24 * 60
_MOST_SESSIONS = 100
#: The run's own prefix is the value of a tag, which has 256 characters at most; this leaves enough for the run id.
_LONGEST_SCRATCH = 200

#: What a tag's value may have too, and what means nothing special in IAM's patterns.
_PREFIX_PART = r"[A-Za-z0-9_.=+@-]+"
_ROLE_ARN = r"arn:aws[a-z-]*:iam::\d{12}:role/(?:[!-~]{1,510}/)?[\w+=,.@-]{1,64}"
_ROLE = rf"[\w+=,.@-]{{1,64}}|{_ROLE_ARN}"
_PROFILE = (
    r"[\w+=,.@-]{1,128}|arn:aws[a-z-]*:iam::\d{12}:instance-profile/(?:[!-~]{1,510}/)?[\w+=,.@-]{1,128}"
)
#: https://docs.aws.amazon.com/ec2/latest/instancetypes/instance-type-names.html
_INSTANCE_TYPE = r"[a-z][a-z0-9-]*\.[a-z0-9-]+"
_SUBNET = r"subnet-(?:[0-9a-f]{8}|[0-9a-f]{17})"
_SECURITY_GROUP = r"sg-(?:[0-9a-f]{8}|[0-9a-f]{17})"
#: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateKeyPair.html
_KEY_NAME = r"[!-~](?:[ -~]{0,253}[!-~])?"
_LOG_URI = rf"s3[an]?://{BUCKET_NAME}(?:/.*)?"
_SCRIPT = rf"s3://{BUCKET_NAME}/.+|file:/.+"
_APPLICATION = r"[A-Za-z][A-Za-z0-9_-]*"
#: https://docs.aws.amazon.com/emr/latest/ManagementGuide/emr-plan-tags-restrictions.html
_TAG = r"[\w\s.:/=+@-]*"
#: https://docs.aws.amazon.com/emr/latest/APIReference/API_JobFlowInstancesConfig.html
SECURITY_GROUPS = (
    "EmrManagedMasterSecurityGroup",
    "EmrManagedSlaveSecurityGroup",
    "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups",
    "AdditionalSlaveSecurityGroups",
)
#: What ``SparkSession.addArtifacts(pyfile=True)`` takes.
_PYTHON_FILES = (".py", ".zip", ".egg")


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
    applications: tuple[str, ...] = (SPARK,)
    configurations: tuple[dict[str, Any], ...] = ()
    bootstrap_actions: tuple[dict[str, Any], ...] = ()
    log_uri: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    idle_minutes: int = 15
    most_minutes: int = 120
    max_sessions: int = 10
    starts_at_once: bool = False
    python_files: tuple[str, ...] = ()


def read_settings(config: pytest.Config) -> EmrSettings:
    """Read and check all settings of the emr backend.

    :param config: pytest's configuration, as early as ``pytest_load_initial_conftests``.
    :raises pytest.UsageError: names the setting, its value and what it may be.
    """
    bucket, prefix = _scratch(config)
    chosen: dict[str, Any] = {
        "role_arn": _text(config, "role_arn", _ROLE_ARN, "the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME"),
        "instance_type": _text(
            config, "instance_type", _INSTANCE_TYPE, "an instance type, such as m5.xlarge"
        ),
        "instance_count": _number(config, "instance_count", _MOST_INSTANCES),
        "subnet": _text(config, "subnet", _SUBNET, "a subnet's id, such as subnet-0123456789abcdef0"),
        "service_role": _text(config, "service_role", _ROLE, "a role's name or ARN"),
        "instance_profile": _text(config, "instance_profile", _PROFILE, "an instance profile's name or ARN"),
        "key_name": _text(
            config, "key_name", _KEY_NAME, "a key pair's name, of at most 255 characters of ASCII"
        ),
        "log_uri": _text(config, "log_uri", _LOG_URI, "a place on S3, such as s3://bucket/logs"),
        "idle_minutes": _number(config, "idle_timeout", _MOST_MINUTES),
        "most_minutes": _number(config, "max_lifetime", _MOST_MINUTES),
        "max_sessions": _number(config, "max_sessions", _MOST_SESSIONS),
    }
    return EmrSettings(
        bucket=bucket,
        prefix=prefix,
        spot=flag(config, "spot"),
        security_groups=_security_groups(config),
        applications=_applications(config),
        configurations=_configurations(config),
        bootstrap_actions=_bootstrap_actions(config),
        tags=_tags(config),
        starts_at_once=choice(config, "launch", LAUNCHES) == "at-once",
        python_files=_python_files(config),
        # What was not given has its default in one place, the class.
        **{name: value for name, value in chosen.items() if value is not None},
    )


def _scratch(config: pytest.Config) -> tuple[str, str]:
    found = given(config, "scratch")
    if found is None:
        raise pytest.UsageError(
            "the emr backend needs --isolated-emr-scratch=s3://bucket/prefix, or the ini setting isolated_emr_scratch: "
            "a place on S3 that runs may fill and empty"
        )
    value = found[0]
    scheme, _, rest = value.partition("://")
    bucket, _, prefix = rest.removesuffix("/").partition("/")
    if scheme != "s3" or not re.fullmatch(BUCKET_NAME, bucket):
        _refuse(found, "a place on S3, such as s3://bucket/prefix")
    if not prefix:
        _refuse(
            found, "below a bucket's root, such as s3://bucket/prefix: what is there is removed with the runs"
        )
    for part in prefix.split("/"):
        if part in (".", "..") or not re.fullmatch(_PREFIX_PART, part):
            _refuse(
                found,
                f"a prefix of parts of the characters A-Z a-z 0-9 _ . = + @ - ({part!r} is none; '.' and '..' are none)",
            )
    if len(value) > _LONGEST_SCRATCH:
        _refuse(found, f"of at most {_LONGEST_SCRATCH} characters")
    return bucket, prefix


def _refuse(found: Given, meant: str) -> NoReturn:
    value, place = found
    raise pytest.UsageError(f"{place}: {value!r} is not {meant}")


def _text(config: pytest.Config, name: str, pattern: str, meant: str) -> str | None:
    found = given(config, name)
    if found is not None and not re.fullmatch(pattern, found[0], re.ASCII):
        _refuse(found, meant)
    return found and found[0]


def _number(config: pytest.Config, name: str, most: int) -> int | None:
    found = given(config, name)
    if found is None:
        return None
    value = found[0]
    if not re.fullmatch("[0-9]{1,9}", value) or not 1 <= int(value) <= most:
        _refuse(found, f"a whole number from 1 to {most}")
    return int(value)


def _pairs(config: pytest.Config, name: str, form: str) -> dict[str, str]:
    place = f"ini setting isolated_emr_{name}"
    pairs: dict[str, str] = {}
    for line in ini(config, f"isolated_emr_{name}"):
        key, equals, value = line.partition("=")
        key = key.strip()
        if not (key and equals):
            _refuse((line, place), f"of the form {form}")
        if key in pairs:
            raise pytest.UsageError(f"{place}: {key!r} is named twice")
        pairs[key] = value.strip()
    return pairs


def _security_groups(config: pytest.Config) -> dict[str, str]:
    groups = _pairs(config, "security_groups", "NAME = sg-ID")
    place = "ini setting isolated_emr_security_groups"
    for name, group in groups.items():
        if name not in SECURITY_GROUPS:
            _refuse((name, place), f"one of: {', '.join(SECURITY_GROUPS)}")
        if not re.fullmatch(_SECURITY_GROUP, group):
            _refuse((group, place), "a security group's id, such as sg-0123456789abcdef0")
    return groups


def _applications(config: pytest.Config) -> tuple[str, ...]:
    names = {SPARK.casefold(): SPARK}
    for name in ini(config, "isolated_emr_applications"):
        if not re.fullmatch(_APPLICATION, name):
            _refuse((name, "ini setting isolated_emr_applications"), "an application's name, such as Hive")
        names.setdefault(name.casefold(), name)
    return tuple(names.values())


def _configurations(config: pytest.Config) -> tuple[dict[str, Any], ...]:
    text = ini(config, "isolated_emr_configurations").strip()
    base = config.inipath.parent if config.inipath else config.rootpath
    return emr_configurations.read((text, "ini setting isolated_emr_configurations"), base) if text else ()


def _bootstrap_actions(config: pytest.Config) -> tuple[dict[str, Any], ...]:
    place = "ini setting isolated_emr_bootstrap_actions"
    actions = []
    for line in ini(config, "isolated_emr_bootstrap_actions"):
        try:
            script, *arguments = shlex.split(line)
        except ValueError as error:
            raise pytest.UsageError(f"{place}: {line!r}: {error}") from error
        if not re.fullmatch(_SCRIPT, script):
            _refuse((script, place), "a script's place, such as s3://bucket/script.sh")
        name = script.rpartition("/")[2][:256] or script[:256]
        actions.append({"Name": name, "ScriptBootstrapAction": {"Path": script, "Args": arguments}})
    # One is the session's own.
    if len(actions) > MOST_BOOTSTRAP_ACTIONS - 1:
        raise pytest.UsageError(
            f"{place}: {len(actions)} are too many: EMR has at most {MOST_BOOTSTRAP_ACTIONS}, and one is the run's"
        )
    return tuple(actions)


def _tags(config: pytest.Config) -> dict[str, str]:
    tags = _pairs(config, "tags", "KEY = VALUE")
    place = "ini setting isolated_emr_tags"
    for key, value in tags.items():
        if key.casefold().startswith(("aws:", "isolated-emr-")):
            _refuse(
                (key, place),
                "a key for you: those that start with aws: are AWS's, with isolated-emr- the run's",
            )
        if len(key) > 128 or not re.fullmatch(_TAG, key):
            _refuse((key, place), "a tag's key: at most 128 letters, digits, spaces and _ . : / = + - @")
        if len(value) > 256 or not re.fullmatch(_TAG, value) or value.casefold().startswith("aws:"):
            _refuse((value, place), "a tag's value: at most 256 letters, digits, spaces and _ . : / = + - @")
    if len(tags) > MOST_TAGS - _OUR_TAGS:
        raise pytest.UsageError(
            f"{place}: {len(tags)} are too many: AWS has at most {MOST_TAGS}, and {_OUR_TAGS} are the run's"
        )
    return tags


def _python_files(config: pytest.Config) -> tuple[str, ...]:
    place = "ini setting isolated_emr_pyfiles"
    paths: list[Path] = ini(config, "isolated_emr_pyfiles")
    for path in paths:
        if not path.is_dir() and not (path.is_file() and path.suffix in _PYTHON_FILES):
            _refuse(
                (str(path), place),
                f"a directory or a file that is there and ends in {', '.join(_PYTHON_FILES)}",
            )
    return tuple(str(path) for path in paths)
