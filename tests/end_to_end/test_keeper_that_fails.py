"""A keeper that fails as nobody foresaw."""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import Run

BROKEN = """
import sys
if "pytest_isolated_emr.keeper" in sys.orig_argv:
    from pytest_isolated_emr.aws.credentials import SessionCredentials
    def fail(region):
        raise RuntimeError("nobody foresaw this")
    SessionCredentials.new = fail
"""


def test_the_client_is_told_with_the_traceback(
    home: Path, project: Path, run_pytest: Run, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(BROKEN)
    (project / "test_it.py").write_text("def test_it(): pass\n")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    finished = run_pytest("--isolated-emr", PYTHONPATH=path)
    assert finished.code == 75, finished.output
    assert (
        "IE201: The keeper could not make the environment: RuntimeError: nobody foresaw this"
        in finished.output
    )
    assert "private_aws.py" in finished.output, "no traceback"
    assert list((home / "sessions").iterdir()) == []
