"""The CI recipes in the docs are YAML, their commands are shell, and their options are there."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.test_docs import DECLARED, DOCS

PAGE = (DOCS / "emr-ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GITHUB = [block for block in BLOCKS if "\njobs:\n" in block]
GITLAB = [block for block in BLOCKS if block not in GITHUB]


def jobs(block: str) -> dict[str, Any]:
    parsed = yaml.safe_load(block)
    assert isinstance(parsed, dict)
    found = parsed.get("jobs", parsed)
    assert found
    return found


def commands(block: str) -> Iterator[str]:
    for job in jobs(block).values():
        yield from (step["run"] for step in job.get("steps", ()) if "run" in step)
        for key in ("before_script", "script", "after_script"):
            yield from job.get(key, ())


COMMANDS = [command for block in BLOCKS for command in commands(block)]


def test_both_systems_have_a_job_and_a_sweep():
    assert len(GITHUB) == len(GITLAB) == 2
    for blocks in (GITHUB, GITLAB):
        lines = [command for block in blocks for command in commands(block)]
        assert sum("pytest --isolated-emr " in line for line in lines) == 1
        assert sum("sweep --scratch" in line for line in lines) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_shell(command: str):
    checked = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


@pytest.mark.parametrize("block", GITHUB)
def test_a_job_on_github_may_take_a_role(block: str):
    assert yaml.safe_load(block)["permissions"]["id-token"] == "write"


@pytest.mark.parametrize("block", GITLAB)
def test_a_job_on_gitlab_may_take_a_role(block: str):
    for job in jobs(block).values():
        assert "AWS_TOKEN" in job["id_tokens"]
        assert "AWS_ROLE_ARN" in job["variables"]


def test_only_options_that_exist_are_named():
    named = set(re.findall(r"--isolated-emr[\w-]*", PAGE))
    assert "--isolated-emr-scratch" in named
    assert named <= set(DECLARED.options)
