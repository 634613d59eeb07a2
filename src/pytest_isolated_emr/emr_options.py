"""The options and ini settings of the emr backend, as pytest's help has them. This module is loaded in every run."""

from __future__ import annotations

import pytest

LAUNCHES = ("when-needed", "at-once")

#: Name, metavar and help of what can be given both by option and by ini, as text.
_SETTINGS = (
    ("scratch", "URI", "Where runs have their prefixes, as s3://bucket/prefix. The emr backend needs it."),
    (
        "role_arn",
        "ARN",
        "The role that pytest's own process takes, limited to the run. Default: your credentials.",
    ),
    ("instance_type", "TYPE", "The type of all instances. Default: m5.xlarge."),
    ("instance_count", "NUMBER", "How many instances, the primary one included. Default: 1."),
    ("subnet", "ID", "The subnet of the cluster. Default: one of AWS's choice."),
    ("service_role", "ROLE", "EMR's own role. Default: EMR_DefaultRole."),
    ("instance_profile", "PROFILE", "The instances' profile. Default: EMR_EC2_DefaultRole."),
    ("key_name", "NAME", "An EC2 key pair, for ssh. Default: none."),
    ("log_uri", "URI", "Where EMR puts logs. Default: below the run's prefix, and gone with it."),
    ("idle_timeout", "MINUTES", "AWS ends the cluster after this long without work. Default: 15."),
    ("max_lifetime", "MINUTES", "The cluster ends after this long in any case. Default: 120."),
    ("max_sessions", "NUMBER", "How many runs may have a cluster for this scratch at once. Default: 10."),
    (
        "launch",
        "WHEN",
        "when-needed (default): once a collected test needs the cluster; at-once: with pytest.",
    ),
)
#: Name, pytest's type and help of what only the ini file says.
_INI_ONLY = (
    (
        "security_groups",
        "linelist",
        "The cluster's security groups, one a line: NAME = sg-ID, NAME as RunJobFlow has it.",
    ),
    ("applications", "args", "The cluster's applications. Spark is always one."),
    (
        "configurations",
        "string",
        "The cluster's configurations in EMR's JSON: a file, relative to the ini file, or the JSON itself.",
    ),
    (
        "bootstrap_actions",
        "linelist",
        "The cluster's bootstrap actions, one a line: s3://bucket/script ARGUMENT...",
    ),
    ("tags", "linelist", "More tags of the cluster, one a line: KEY = VALUE."),
    (
        "pyfiles",
        "paths",
        "Python files, archives and directories that Spark's workers get too (emr backend).",
    ),
)


def add_options(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare them.

    :param parser: pytest's.
    :param group: of the plugin's options.
    """
    for name, metavar, text in _SETTINGS:
        option = f"--isolated-emr-{name.replace('_', '-')}"
        group.addoption(option, default=None, metavar=metavar, help=f"{text} (emr backend)")
        parser.addini(f"isolated_emr_{name}", f"The same as {option}.", default="")
    group.addoption(
        "--isolated-emr-spot",
        action="store_true",
        default=None,
        help="Buy the instances on the spot market. (emr backend)",
    )
    parser.addini("isolated_emr_spot", "The same as --isolated-emr-spot.", type="bool", default=False)
    for name, kind, text in _INI_ONLY:
        parser.addini(
            f"isolated_emr_{name}",
            text,
            type=kind,  # type: ignore[arg-type]
            default="" if kind == "string" else [],
        )
    group.addoption(
        "--isolated-emr-dry-run",
        action="store_true",
        default=False,
        help="Print the RunJobFlow request of this run as JSON, and do nothing else. (emr backend)",
    )
