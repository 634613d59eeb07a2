"""Settings of the emr backend: what they become, and what is refused before anything costs."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pytest_isolated_emr.emr_settings import EmrSettings
from pytest_isolated_emr.settings import read_settings

SCRATCH = "s3://etl-tests/runs"
ON_EMR = ("--isolated-emr-backend=emr", f"--isolated-emr-scratch={SCRATCH}")
DEFAULTS = EmrSettings("etl-tests", "runs")
SUBNET = "subnet-0123456789abcdef0"
GROUP = "sg-0123456789abcdef0"
ROLE = "arn:aws:iam::123456789012:role/ci/tests"


def read(pytester: pytest.Pytester, *arguments: str, ini: str = "") -> EmrSettings:
    pytester.makefile(".ini", pytest=f"[pytest]\n{ini}")
    settings = read_settings(pytester.parseconfig(*arguments), {}).emr
    assert settings is not None
    return settings


def refused(pytester: pytest.Pytester, *arguments: str, ini: str = "") -> str:
    with pytest.raises(pytest.UsageError) as caught:
        read(pytester, *arguments, ini=ini)
    return str(caught.value)


def lines(name: str, *values: str) -> str:
    return "\n    ".join([f"isolated_emr_{name} =", *values]) + "\n"


def test_the_default_is_one_small_instance(pytester: pytest.Pytester):
    assert read(pytester, *ON_EMR) == DEFAULTS
    assert DEFAULTS.instance_count == 1


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("role-arn", ROLE, "role_arn", ROLE),
        ("instance-type", "r7g.2xlarge", "instance_type", "r7g.2xlarge"),
        ("instance-count", "3", "instance_count", 3),
        ("subnet", SUBNET, "subnet", SUBNET),
        ("service-role", "EMR_DefaultRole_V2", "service_role", "EMR_DefaultRole_V2"),
        ("service-role", ROLE, "service_role", ROLE),
        ("instance-profile", "etl", "instance_profile", "etl"),
        ("key-name", "my key", "key_name", "my key"),
        ("log-uri", "s3://logs/emr/", "log_uri", "s3://logs/emr/"),
        ("idle-timeout", "1", "idle_minutes", 1),
        ("idle-timeout", "10080", "idle_minutes", 10080),
        ("max-lifetime", "45", "most_minutes", 45),
        ("max-sessions", "2", "max_sessions", 2),
        ("launch", "at-once", "starts_at_once", True),
        ("launch", "when-needed", "starts_at_once", False),
    ],
)
def test_an_option_and_the_ini_setting_mean_the_same(
    pytester: pytest.Pytester, name: str, value: str, field: str, meaning: object
):
    wanted = replace(DEFAULTS, **{field: meaning})
    assert read(pytester, *ON_EMR, f"--isolated-emr-{name}={value}") == wanted
    assert read(pytester, *ON_EMR, ini=f"isolated_emr_{name.replace('-', '_')} = {value}") == wanted


def test_an_option_wins_over_ini(pytester: pytest.Pytester):
    ini = (
        "isolated_emr_backend = emr\nisolated_emr_scratch = s3://other/runs\nisolated_emr_instance_count = 4"
    )
    settings = read(pytester, f"--isolated-emr-scratch={SCRATCH}", "--isolated-emr-instance-count=2", ini=ini)
    assert settings == replace(DEFAULTS, instance_count=2)


def test_spot(pytester: pytest.Pytester):
    assert read(pytester, *ON_EMR, "--isolated-emr-spot").spot
    assert read(pytester, *ON_EMR, ini="isolated_emr_spot = true").spot


@pytest.mark.parametrize("value", ["s3://b-1/a", "s3://b-1/a/", "s3://b.1/a/b_c.d=e+f@g-h"])
def test_a_scratch_that_is_one(pytester: pytest.Pytester, value: str):
    settings = read(pytester, ON_EMR[0], f"--isolated-emr-scratch={value}")
    assert f"s3://{settings.bucket}/{settings.prefix}" == value.removesuffix("/")


@pytest.mark.parametrize(
    "value",
    [
        "",
        "s3://bucket",
        "s3://bucket/",
        "s3://bucket//",
        "s3://bucket//a",
        "s3://bucket/a//",
        "s3://bucket/a//b",
        "s3://bucket/.",
        "s3://bucket/../a",
        "s3://bucket/a/..",
        "s3://bucket/a*",
        "s3://bucket/a?b",
        "s3://bucket/${aws:username}",
        "s3://bucket/with space",
        "s3://bucket/é",
        "s3://Bucket/a",
        "s3:///a",
        "s3a://bucket/a",
        "https://bucket.s3.amazonaws.com/a",
        "bucket/a",
        "/tmp/a",
        "s3://bucket/" + 200 * "a",
    ],
)
def test_a_scratch_that_is_none(pytester: pytest.Pytester, value: str):
    message = refused(pytester, ON_EMR[0], f"--isolated-emr-scratch={value}")
    assert "--isolated-emr-scratch" in message
    assert repr(value) in message


def test_a_scratch_has_to_be_named(pytester: pytest.Pytester):
    assert "needs --isolated-emr-scratch" in refused(pytester, ON_EMR[0])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("role-arn", ["tests", "arn:aws:iam::123:role/tests", "arn:aws:iam::123456789012:user/tests", ""]),
        ("instance-type", ["large", "m5", "m5.", "M5.xlarge", "m5.xlarge; rm"]),
        ("instance-count", ["0", "-1", "1.5", "many", "101", "1e2", "\N{SUPERSCRIPT TWO}"]),
        ("subnet", ["vpc-0123456789abcdef0", "subnet-", "subnet-0123", "subnet-0123456789ABCDEF0"]),
        ("service-role", ["a role", "arn:aws:iam::123456789012:instance-profile/x"]),
        ("instance-profile", ["a/b", "arn:aws:iam::123456789012:role/x"]),
        ("key-name", [" x", "é", 256 * "k"]),
        ("log-uri", ["logs", "s3://", "https://x/y", "s3://UPPER/x"]),
        ("idle-timeout", ["0", "10081", "1h"]),
        ("max-lifetime", ["0", "10081", "nan"]),
        ("max-sessions", ["0", "101", "x"]),
        ("wait", ["-1", "nan", "inf", "86401", "soon"]),
        ("launch", ["now", ""]),
    ],
)
def test_a_wrong_value_is_named_with_its_option(pytester: pytest.Pytester, name: str, values: list[str]):
    for value in values:
        message = refused(pytester, *ON_EMR, f"--isolated-emr-{name}={value}")
        assert f"--isolated-emr-{name}: {value!r} is not " in message


def test_a_wrong_value_is_named_with_its_ini_setting(pytester: pytest.Pytester):
    message = refused(pytester, *ON_EMR, ini="isolated_emr_launch = later")
    assert message == "ini setting isolated_emr_launch: 'later' is not one of: when-needed, at-once"


def test_security_groups(pytester: pytest.Pytester):
    ini = lines(
        "security_groups",
        f"EmrManagedMasterSecurityGroup = {GROUP}",
        "ServiceAccessSecurityGroup=sg-01234567",
    )
    assert read(pytester, *ON_EMR, ini=ini).security_groups == {
        "EmrManagedMasterSecurityGroup": GROUP,
        "ServiceAccessSecurityGroup": "sg-01234567",
    }


def test_applications_have_spark_among_them_once(pytester: pytest.Pytester):
    assert read(pytester, *ON_EMR, ini="isolated_emr_applications = Hive spark Hive").applications == (
        "Spark",
        "Hive",
    )


CONFIGURATIONS = [
    {"Classification": "spark-defaults", "Properties": {"spark.sql.shuffle.partitions": "4"}},
    {
        "Classification": "hadoop-env",
        "Configurations": [{"Classification": "export", "Properties": {"A": "b"}}],
    },
]


def test_configurations_of_a_file_beside_the_ini_file(pytester: pytest.Pytester):
    pytester.mkdir("conf")
    (pytester.path / "conf" / "emr.json").write_text(json.dumps(CONFIGURATIONS))
    elsewhere = pytester.mkdir("elsewhere")
    pytester.makefile(".ini", pytest="[pytest]\nisolated_emr_configurations = conf/emr.json\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(elsewhere)
        config = pytester.parseconfig(*ON_EMR, "-c", "../pytest.ini")
    settings = read_settings(config, {}).emr
    assert settings is not None
    assert list(settings.configurations) == CONFIGURATIONS


def test_configurations_in_the_ini_file_itself(pytester: pytest.Pytester):
    text = json.dumps(CONFIGURATIONS, indent=1).replace("\n", "\n    ")
    settings = read(pytester, *ON_EMR, ini=f"isolated_emr_configurations = {text}\n")
    assert list(settings.configurations) == CONFIGURATIONS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("missing.json", "cannot be read"),
        ("[", "not JSON"),
        ("{}", "has to be a list"),
        ('[{"Properties": {}}]', "Classification"),
        ("[1]", "Classification"),
        ('[{"Classification": "x", "properties": {}}]', "'properties', which is not one of"),
        ('[{"Classification": "x", "Properties": []}]', "have to be an object"),
        ('[{"Classification": "x", "Properties": {"a": 1}}]', "has to be text, not 1"),
        ('[{"Classification": "x", "Configurations": {}}]', "has to be a list"),
    ],
)
def test_configurations_that_are_none(pytester: pytest.Pytester, text: str, problem: str):
    message = refused(pytester, *ON_EMR, ini=f"isolated_emr_configurations = {text}")
    assert message.startswith("ini setting isolated_emr_configurations: ")
    assert problem in message


def test_bootstrap_actions(pytester: pytest.Pytester):
    settings = read(
        pytester,
        *ON_EMR,
        ini=lines("bootstrap_actions", "s3://code/a/setup.sh 'two words' -x", "file:/bin/true"),
    )
    assert settings.bootstrap_actions == (
        {
            "Name": "setup.sh",
            "ScriptBootstrapAction": {"Path": "s3://code/a/setup.sh", "Args": ["two words", "-x"]},
        },
        {"Name": "true", "ScriptBootstrapAction": {"Path": "file:/bin/true", "Args": []}},
    )


def test_tags(pytester: pytest.Pytester):
    settings = read(pytester, *ON_EMR, ini=lines("tags", "team = data = etl", "empty =", "für = größe"))
    assert settings.tags == {"team": "data = etl", "empty": "", "für": "größe"}


def test_python_files(pytester: pytest.Pytester):
    pytester.mkdir("etl")
    pytester.makefile(".py", udfs="")
    files = read(pytester, *ON_EMR, ini="isolated_emr_pyfiles = etl udfs.py").python_files
    assert files == (str(pytester.path / "etl"), str(pytester.path / "udfs.py"))


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("security_groups", [GROUP], "of the form NAME = sg-ID"),
        ("security_groups", [f"Master = {GROUP}"], "'Master' is not one of: EmrManagedMasterSecurityGroup"),
        (
            "security_groups",
            ["ServiceAccessSecurityGroup = default"],
            "'default' is not a security group's id",
        ),
        ("security_groups", 2 * [f"ServiceAccessSecurityGroup = {GROUP}"], "named twice"),
        ("applications", ["Spark;"], "'Spark;' is not an application's name"),
        ("bootstrap_actions", ["setup.sh"], "'setup.sh' is not a script's place"),
        ("bootstrap_actions", ["s3://code/a.sh 'open"], "No closing quotation"),
        ("bootstrap_actions", 16 * ["s3://code/a.sh"], "16 are too many"),
        ("tags", ["team"], "of the form KEY = VALUE"),
        ("tags", ["= x"], "of the form KEY = VALUE"),
        ("tags", ["isolated-emr-run-id = x"], "the run's"),
        ("tags", ["AWS:x = x"], "AWS's"),
        ("tags", ["a*b = x"], "is not a tag's key"),
        ("tags", [f"{129 * 'k'} = x"], "is not a tag's key"),
        ("tags", [f"k = {257 * 'v'}"], "is not a tag's value"),
        ("tags", ["k = aws:x"], "is not a tag's value"),
        ("tags", [f"k{number} = x" for number in range(46)], "46 are too many"),
        ("pyfiles", ["missing.py"], "is not a directory or a file that is there"),
        ("pyfiles", ["pytest.ini"], "is not a directory or a file that is there"),
    ],
)
def test_a_wrong_line_is_named(pytester: pytest.Pytester, name: str, values: list[str], problem: str):
    message = refused(pytester, *ON_EMR, ini=lines(name, *values))
    assert message.startswith(f"ini setting isolated_emr_{name}: ")
    assert problem in message


def test_buckets_are_not_made_on_aws(pytester: pytest.Pytester):
    message = refused(pytester, *ON_EMR, ini=lines("buckets", "orders"))
    assert message.startswith("ini setting isolated_emr_buckets: ")
    assert "scratch" in message


def test_settings_of_emr_say_nothing_on_another_backend(pytester: pytest.Pytester):
    pytester.makefile(
        ".ini", pytest="[pytest]\nisolated_emr_scratch = nonsense\nisolated_emr_instance_count = x\n"
    )
    assert read_settings(pytester.parseconfig("--isolated-emr-subnet=x"), {}).emr is None


def test_a_wrong_value_ends_pytest_with_a_usage_error(pytester: pytest.Pytester):
    result = pytester.runpytest_subprocess("--isolated-emr", ON_EMR[0], "--isolated-emr-scratch=s3://bucket")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: --isolated-emr-scratch: 's3://bucket' is not below a bucket's root*"]
    )
