"""One case from its beginning to its audit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from pytest_isolated_emr.backends.emr.pace import PACE_VARIABLE
from pytest_isolated_emr.lifecycle.session_directory import NEW_PREFIX
from tests.emr_backend import extras
from tests.emr_backend.answers import Aged, Change
from tests.emr_backend.auditor import Audit, Auditor
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.bystanders import PREFIX, Bystanders
from tests.emr_backend.cases import CHANGES, Case
from tests.emr_backend.drive import LONGEST, ROOT, Drive
from tests.emr_backend.faults import Plan
from tests.emr_backend.one_session import Order
from tests.emr_backend.s3_endpoint import REGION
from tests.emr_backend.somebody import Somebody
from tests.emr_backend.verdict import violations

_PATH = Path(__file__).with_name("keeper_path")
PACE = {
    "poll": 0.05,
    "longest_poll": 0.5,
    "settle": 1.0,
    "lease": 6.0,
    "renew": 1.0,
    "start": 20.0,
    "end": 20.0,
    "session": 120.0,
}
#: Where a keeper that is tried counts the lines of its journal.
_LINES = "journal-lines"


@dataclass
class Result:
    """What came of a case.

    :param case: which one.
    :param told: what the user was told, one event each.
    :param before: what was there when the session had ended.
    :param after: what was there after the sweep.
    :param violations: what must not be, in words; none if all is well.
    :param seconds: how long it took.
    :param operations: how often each of AWS's was called.
    :param journal_lines: how many lines the keeper wrote.
    :param log: the keeper's and the sweep's last words, to find out why.
    """

    case: Case
    told: list[dict[str, Any]] = field(default_factory=list)
    before: Audit = field(default_factory=Audit)
    after: Audit = field(default_factory=Audit)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    operations: Counter[str] = field(default_factory=Counter)
    journal_lines: int = 0
    log: str = ""


class Runner:
    """Runs cases, one after the other, in one scratch.

    :param variables: how AWS is reached past all faults.
    :param bystanders: what else is in the scratch.
    :param directory: for the homes of the cases.
    """

    def __init__(self, variables: dict[str, str], bystanders: Bystanders, directory: Path) -> None:
        self._variables = variables
        self._bystanders = bystanders
        self._directory = directory
        self._session = boto3.Session(
            variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=REGION
        )
        bucket = bystanders.bucket
        self._fails = f"s3://{bucket}/fails.sh"
        self._client("s3").put_object(Bucket=bucket, Key="fails.sh", Body=b"exit 1\n")

    def run(self, case: Case) -> Result:
        """Run a case, and judge it.

        :param case: which one.
        """
        began = time.monotonic()
        result = Result(case)
        home = self._directory / case.name.replace(" ", "-").replace("/", "-").replace(":", "")
        home.mkdir(mode=0o700)
        changes: list[Change] = [CHANGES[name]() for name in case.changes]
        url = self._variables["AWS_ENDPOINT_URL"]
        with (
            Auditor(self._session_of_auditor(), self._bystanders) as auditor,
            AwsProxy(url, Plan(case.rules), changes) as proxy,
        ):
            somebody = Somebody(
                case, self._bystanders, lambda run_id: self._sweep_lapsed(result, home, run_id), LONGEST
            )
            environ, order = self._environ(home, proxy.url, case), self._order(case, somebody)
            drive = Drive(case, environ, order, proxy, somebody)
            proxy.kill = drive.kill_keeper
            try:
                result.told = drive.run()
            except subprocess.TimeoutExpired:
                result.violations.append(f"the session hangs: more than {LONGEST:.0f} s")
            result.log = _logs(home)
            called = {served.call.operation for served in proxy.calls()}
            result.violations += [f"{name} was not called" for name in case.calls if name not in called]
            result.journal_lines = _number_in(home / _LINES)
            result.before = auditor.look()
            # A list that lags is AWS in health, and so is what else changes answers.
            proxy.plan.heal()
            runs = self._runs(proxy, home)
            if case.swept_elsewhere:
                proxy.changes = [Aged(run_id) for run_id in runs]
                self._sweep_elsewhere(result, home, proxy)
                proxy.changes = changes
            self._sweep(result, home, proxy)
            result.after = auditor.look()
            result.operations = Counter(served.call.operation for served in proxy.calls())
            # One that has no name yet may be about to get it, for all that a sweep knows, and is left alone for a while.
            left = [path.name for path in (home / "sessions").glob("*")]
            left = [name for name in left if not name.startswith(NEW_PREFIX)]
            result.violations += somebody.violations
            result.violations += violations(case, result.told, result.before, result.after, left)
        result.seconds = time.monotonic() - began
        return result

    def _client(self, service: str) -> Any:
        return self._session_of_auditor().client(service)

    def _session_of_auditor(self) -> Any:
        return _Past(self._session, self._variables["AWS_ENDPOINT_URL"])

    def _order(self, case: Case, somebody: Somebody) -> Order:
        return Order(
            region=REGION,
            bucket=self._bystanders.bucket,
            prefix=PREFIX,
            bootstrap_action=self._fails if case.bootstrap_fails else "",
            work_seconds=case.work_seconds,
            pauses=_pauses(case, somebody),
            gives_up=bool(case.gives_up),
            makes_cluster=case.makes_cluster,
            **extras.settings_of(case.has, self._bystanders.account),
        )

    def _environ(self, home: Path, url: str, case: Case) -> dict[str, str]:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "AWS_", "ISOLATED_EMR_"))
        }
        path = os.pathsep.join([str(_PATH), str(ROOT / "src"), str(ROOT)])
        environ |= self._variables
        environ |= {
            "AWS_ENDPOINT_URL": url,
            "ISOLATED_EMR_HOME": str(home),
            "PYTHONPATH": path,
            "PYTHONDONTWRITEBYTECODE": "1",
            "COLUMNS": "200",
            "ISOLATED_EMR_TESTS_LINES": str(home / _LINES),
            PACE_VARIABLE: json.dumps({**PACE, **case.pace}),
        }
        return environ

    def _runs(self, proxy: AwsProxy, home: Path) -> set[str]:
        """Return the ids of the case's runs, by whatever it left a trace in."""
        found = {path.name for path in (home / "sessions").glob("*")}
        for served in proxy.calls():
            parts = str(served.call.parameters.get("Key", "")).removeprefix(f"{PREFIX}/").split("/")
            if served.call.operation == "PutObject" and len(parts) > 1 and not parts[0].startswith("."):
                found.add(parts[0])
        return found - {self._bystanders.run_id}

    def _sweep(self, result: Result, home: Path, proxy: AwsProxy) -> None:
        self._swept(result, self._environ(home, proxy.url, Case("sweep", "")), proxy, "--delete")

    def _sweep_lapsed(self, result: Result, home: Path, run_id: str) -> None:
        """Have another machine sweep while the run goes on, as if it were asleep for long."""
        with AwsProxy(self._variables["AWS_ENDPOINT_URL"], changes=[Aged(run_id)]) as proxy:
            self._sweep_elsewhere(result, home, proxy)

    def _sweep_elsewhere(self, result: Result, home: Path, proxy: AwsProxy) -> None:
        elsewhere = home.with_name(f"{home.name}-elsewhere")
        elsewhere.mkdir(mode=0o700, exist_ok=True)
        scratch = f"s3://{self._bystanders.bucket}/{PREFIX}"
        environ = self._environ(elsewhere, proxy.url, Case("sweep", ""))
        self._swept(result, environ, proxy, "--delete", "--scratch", scratch, "--region", REGION)

    def _swept(self, result: Result, environ: dict[str, str], proxy: AwsProxy, *arguments: str) -> None:
        command = [sys.executable, "-m", "pytest_isolated_emr.cli", "sweep", "--json", *arguments]
        kill = result.case.kill_sweep
        for rules in ((kill,), ()) if kill is not None else ((),):
            proxy.plan = Plan(rules)
            process = subprocess.Popen(
                command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            proxy.kill = process.kill
            try:
                stdout, stderr = process.communicate(timeout=LONGEST)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                result.violations.append(f"the sweep hangs: more than {LONGEST:.0f} s")
                return
            code = process.returncode
            result.log += f"\n--- sweep {' '.join(arguments)}: exit code {code}\n{stdout}{stderr}"
        if code != 0:
            result.violations.append(f"the sweep failed, though AWS is well: {stdout} {stderr}")
            return
        report = json.loads(stdout)
        for removed in report["removed"]:
            name = removed.get("name", "")
            result.told.append({"event": "sweep", "what": f"removed {name}: {removed.get('reason')}"})


class _Past:
    """A boto3 session that asks the endpoint itself."""

    def __init__(self, session: boto3.Session, url: str) -> None:
        self._session = session
        self._url = url

    def client(self, service: str) -> Any:
        return self._session.client(service, endpoint_url=self._url)


def _pauses(case: Case, somebody: Somebody) -> tuple[str, ...]:
    moments = {
        "asked": "launched" in (case.gives_up, case.client_dies),
        "ready": somebody.acts_when_ready or case.client_dies == "ready",
        "ending": somebody.acts_at_the_end,
    }
    return tuple(moment for moment, is_one in moments.items() if is_one)


def _number_in(path: Path) -> int:
    return int(path.read_text()) if path.is_file() else 0


def _logs(home: Path) -> str:
    texts = [path.read_text(errors="replace") for path in home.glob("sessions/*/logs/keeper.log")]
    journals = [path.read_text(errors="replace") for path in home.glob("sessions/*/journal")]
    return "\n".join([*texts, *journals])
