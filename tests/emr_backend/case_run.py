"""One case from its beginning to its audit."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psutil

from pytest_isolated_emr.backends.emr.pace import PACE_VARIABLE
from pytest_isolated_emr.lifecycle.session_directory import NEW_PREFIX
from tests.emr_backend.answers import Aged, Change
from tests.emr_backend.auditor import Audit, Auditor
from tests.emr_backend.aws_proxy import AwsProxy
from tests.emr_backend.bystanders import PREFIX, Bystanders
from tests.emr_backend.cases import CHANGES, Case
from tests.emr_backend.faults import Plan
from tests.emr_backend.one_session import Order
from tests.emr_backend.s3_endpoint import REGION

_ROOT = Path(__file__).resolve().parents[2]
_PATH = Path(__file__).with_name("keeper_path")
#: Much longer than any of it takes: what takes longer hangs.
_LONGEST = 180.0
#: So long a session may take until its cluster is launched; one at which something goes wrong may never get there.
_LAUNCH = 5.0
PACE = {
    "poll": 0.05,
    "longest_poll": 0.5,
    "settle": 1.0,
    "lease": 6.0,
    "renew": 1.0,
    "start": 20.0,
    "end": 20.0,
    "session": 30.0,
}
#: Where a keeper that is tried counts the lines of its journal.
_LINES = "journal-lines"
#: What a person is not to meet: "report this", and errors without a name.
_NOT_WORDS_FOR_USERS = ("IE000", "IE206")


@dataclass
class Result:
    """What came of a case.

    :param case: which one.
    :param told: what the user was told, one event each.
    :param before: what was there when the session had ended.
    :param after: what was there after the sweep.
    :param violations: what must not be, in words; none if all is well.
    :param seconds: how long it took.
    :param calls: how many of AWS there were.
    :param journal_lines: how many lines the keeper wrote.
    :param log: the keeper's and the sweep's last words, to find out why.
    """

    case: Case
    told: list[dict[str, Any]] = field(default_factory=list)
    before: Audit = field(default_factory=Audit)
    after: Audit = field(default_factory=Audit)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    calls: int = 0
    journal_lines: int = 0
    log: str = ""

    @property
    def sentences(self) -> list[str]:
        """What the user was told of things that went wrong."""
        return [
            f"{event.get('code', event['event'])}: {event['what']}" for event in self.told if _is_word(event)
        ]


def _is_word(event: dict[str, Any]) -> bool:
    return event["event"] in ("error", "problem", "sweep")


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
            environ, order = self._environ(home, proxy.url, case), self._order(case)
            drive = _Drive(case, environ, order, proxy, self._end_clusters)
            proxy.kill = drive.kill_keeper
            try:
                result.told = drive.run()
            except subprocess.TimeoutExpired:
                result.violations.append(f"the session hangs: more than {_LONGEST:.0f} s")
            result.log = _logs(home)
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
            result.calls = len(proxy.calls())
            _judge(result, home)
        result.seconds = time.monotonic() - began
        return result

    def _client(self, service: str) -> Any:
        return self._session_of_auditor().client(service)

    def _session_of_auditor(self) -> Any:
        return _Past(self._session, self._variables["AWS_ENDPOINT_URL"])

    def _order(self, case: Case) -> Order:
        return Order(
            region=REGION,
            bucket=self._bystanders.bucket,
            prefix=PREFIX,
            bootstrap_action=self._fails if case.bootstrap_fails else "",
            work_seconds=case.work_seconds,
            pauses=_pauses(case),
            gives_up=bool(case.gives_up),
            makes_cluster=case.makes_cluster,
        )

    def _environ(self, home: Path, url: str, case: Case) -> dict[str, str]:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "AWS_", "ISOLATED_EMR_"))
        }
        path = os.pathsep.join([str(_PATH), str(_ROOT / "src"), str(_ROOT)])
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

    def _end_clusters(self, cluster_id: str) -> None:
        """Be the somebody who ends it."""
        self._client("emr").terminate_job_flows(JobFlowIds=[cluster_id])

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

    def _sweep_elsewhere(self, result: Result, home: Path, proxy: AwsProxy) -> None:
        elsewhere = home.with_name(f"{home.name}-elsewhere")
        elsewhere.mkdir(mode=0o700)
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
                stdout, stderr = process.communicate(timeout=_LONGEST)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                result.violations.append(f"the sweep hangs: more than {_LONGEST:.0f} s")
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


def _pauses(case: Case) -> str:
    if "launched" in (case.gives_up, case.client_dies):
        return "asked"
    return "ready" if case.ended_by_somebody or case.client_dies == "ready" else ""


class _Drive:
    """Drives the session's process, and kills what is to be killed."""

    def __init__(
        self,
        case: Case,
        environ: dict[str, str],
        order: Order,
        proxy: AwsProxy,
        end_cluster: Callable[[str], None],
    ) -> None:
        self._case = case
        self._proxy = proxy
        self._order = order
        self._end_cluster = end_cluster
        if case.kill_at_line:
            environ = environ | {"ISOLATED_EMR_TESTS_KILL": case.kill_at_line}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.emr_backend.one_session"],
            env=environ,
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> list[dict[str, Any]]:
        """Return what the user was told.

        :raises subprocess.TimeoutExpired: it, or its keeper, does not end.
        """
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        told: list[dict[str, Any]] = []
        deadline = _Deadline(process)
        try:
            process.stdin.write(self._order.to_line())
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line)
                told.append(event)
                self._at(event)
            process.wait()
        finally:
            deadline.cancel()
        assert process.stderr is not None
        errors = process.stderr.read()
        if deadline.is_over:
            raise subprocess.TimeoutExpired("one_session", _LONGEST)
        if process.returncode not in (0, -9):
            told.append({"event": "crash", "what": errors})
        return told

    def kill_keeper(self) -> None:
        """Kill the keeper, and return when it is gone."""
        for keeper in self._keepers():
            with contextlib.suppress(psutil.NoSuchProcess):
                keeper.kill()
                _wait_for(keeper)

    def _at(self, event: dict[str, Any]) -> None:
        moment = event["event"]
        if moment == "asked" and self._order.pauses == "asked":
            self._wait_for_launch()
            moment = "launched"
        if moment == self._case.client_dies:
            keepers = self._keepers()
            self._process.kill()
            for keeper in keepers:
                # Nobody tells it but its lifeline.
                _wait_for(keeper)
            return
        if moment == "ready" and self._case.ended_by_somebody:
            self._end_cluster(event["cluster_id"])
        if event["event"] == self._order.pauses:
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write("\n")
                self._process.stdin.flush()

    def _wait_for_launch(self) -> None:
        """Wait until the cluster is launched, if it ever is."""
        end = time.monotonic() + _LAUNCH
        while time.monotonic() < end and not self._proxy.calls("RunJobFlow"):
            time.sleep(0.01)

    def _keepers(self) -> list[psutil.Process]:
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self._process.pid).children()
            return [child for child in children if "pytest_isolated_emr.keeper" in child.cmdline()]
        return []


def _wait_for(process: psutil.Process) -> None:
    """Wait until a process that may be anybody's child has ended, reaped or not."""
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except psutil.NoSuchProcess:
            return
        time.sleep(0.02)
    raise subprocess.TimeoutExpired("the keeper", _LONGEST)


class _Deadline:
    """Kills a process that takes too long."""

    def __init__(self, process: subprocess.Popen[str]) -> None:

        self.is_over = False
        self._process = process
        self._timer = threading.Timer(_LONGEST, self._end)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.is_over = True
        self._process.kill()


def _number_in(path: Path) -> int:
    return int(path.read_text()) if path.is_file() else 0


def _logs(home: Path) -> str:
    texts = [path.read_text(errors="replace") for path in home.glob("sessions/*/logs/keeper.log")]
    journals = [path.read_text(errors="replace") for path in home.glob("sessions/*/journal")]
    return "\n".join([*texts, *journals])


def _judge(result: Result, home: Path) -> None:
    case, before, after = result.case, result.before, result.after
    violations = result.violations
    if after.alive_at_once > 1:
        violations.append(f"{after.alive_at_once} clusters of one run were alive at once")
    violations += [f"left after the sweep: {thing}" for thing in after.leaked]
    violations += [f"changed outside of the run: {thing}" for thing in after.changed]
    violations += [f"not the session's to end: {thing}" for thing in after.wrongly_ended]
    # One that has no name yet may be about to get it, for all that a sweep knows, and is left alone for a while.
    left = [path.name for path in (home / "sessions").glob("*") if not path.name.startswith(NEW_PREFIX)]
    violations += [f"left on this machine after the sweep: {name}" for name in left]
    events = [event["event"] for event in result.told]
    if "crash" in events:
        violations.append(f"the session's process failed: {result.told[events.index('crash')]['what']}")
    if case.client_dies.replace("launched", "asked") in events:
        # There was nobody to be told.
        if before.leaked and not case.rules and not case.changes:
            violations.append(f"left by a keeper that outlived pytest: {before.leaked}")
        return
    if case.expects and not any(re.search(case.expects, sentence) for sentence in result.sentences):
        violations.append(f"the user was not told {case.expects!r}")
    did_its_work = "worked" in events and not (case.ended_by_somebody and case.work_seconds)
    if not (did_its_work and not before.leaked) and not result.sentences:
        violations.append(f"the user was told nothing; left: {before.leaked}")
    killed = case.kills_keeper and any(event.get("code") in ("IE201", "IE202") for event in result.told)
    if before.leaked and not killed and "problem" not in events:
        told = [event for event in result.told if event["event"] == "error" and "removed" in str(event)]
        if not told:
            violations.append(f"left without a word of it: {before.leaked}")
    for event in result.told:
        words = json.dumps(event)
        if event.get("code") in _NOT_WORDS_FOR_USERS or ("Traceback" in words and not killed):
            violations.append(f"no words for users: {words}")
