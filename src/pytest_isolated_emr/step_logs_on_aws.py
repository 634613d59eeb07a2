"""The logs of a step on AWS: they come to S3 some minutes after its end, and are read when somebody asks for them.

EMR puts logs on S3 every 5 minutes. One of a step that ran for longer may be there in part before its end, so that what was put
there since the end is what counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.pace import Pace
from pytest_isolated_emr.logs_on_s3 import LogDirectory, LogOnS3, StoredLog
from pytest_isolated_emr.tests_clusters import TAIL

#: The last line but one of a step's ``controller`` log.
_ENDED = re.compile(
    r"^(\d{4}-\d\d-\d\dT[\d:]+(?:\.\d{3})?)Z (?:INFO|WARN) Step (?:succeeded|failed) with exitCode",
    re.MULTILINE,
)
#: What YARN's client says in cluster mode alone: in client mode it tells no state that is the end.
_APPLICATION = re.compile(
    r"Application report for (application_\d+_\d+) \(state: (?:FINISHED|FAILED|KILLED)\)"
)
#: The container of an application's master, which is the driver in cluster mode; the number before is the attempt's.
_DRIVER = re.compile(r"(container_(?:e\d+_)?\d+_\d+_\d+_0*1)/")


@dataclass
class Waiting:
    """How long logs are waited for.

    :param pace: how often to look, and how long.
    :param wait: waits for so many seconds.
    :param say: is told what is being waited for.
    :param left_for_reports: how long reports may still wait, in seconds, all those of a process together.
    """

    pace: Pace
    wait: Callable[[float], None]
    say: Callable[[str], None]
    left_for_reports: float


@dataclass
class StepLogsOnAws:
    """The logs of a step on S3.

    :param cluster: the logs of its cluster; None if that keeps none on S3.
    :param step_id: the step.
    :param status: as DescribeStep has it.
    :param whole: where the whole log is when the report is read, in words.
    :param why: what else is known of why the step failed.
    :param waiting: how long they are waited for.
    """

    cluster: LogDirectory | None
    step_id: str
    status: dict[str, Any]
    whole: str
    why: list[str]
    waiting: Waiting
    _waited: float = field(default=0.0, init=False)
    _texts: dict[str, str] = field(default_factory=dict, init=False, repr=False)
    _driver: LogDirectory | None = field(default=None, init=False, repr=False)
    _ended: datetime | None = field(default=None, init=False, repr=False)

    @property
    def place(self) -> LogOnS3:
        """The directory of the step's own logs."""
        return LogOnS3(self._own.uri if self._own is not None else "", self._at)

    def stdout(self) -> str:
        """Return what the job printed; in cluster mode the driver's.

        :raises StepLogsMissing: it is not there in the time.
        :raises IsolatedEmrError: S3 cannot be read.
        """
        return self._whole_text("stdout")

    def stderr(self) -> str:
        """Return what the job printed to standard error; in cluster mode the driver's.

        :raises StepLogsMissing: it is not there in the time.
        :raises IsolatedEmrError: S3 cannot be read.
        """
        return self._whole_text("stderr")

    def failure(self) -> str:
        """Return what is known at once of why the step failed, and where its logs are. Nothing is waited for."""
        details = self.status.get("FailureDetails") or {}
        told = [details[key] for key in ("Reason", "Message") if details.get(key)]
        said = [f"EMR says: {' '.join(told)}"] if told else []
        if details.get("LogFile"):
            said.append(f"the log that it names: {details['LogFile']}")
        text = self._text_or_reason(0.0)
        return "; ".join([*said, *self.why, self.whole, text])

    def report(self) -> str:
        """Return what a failed test's report says of the step; the log of one that failed is waited for, bounded."""
        most = 0.0
        if self.status["State"] != "COMPLETED":
            most = min(self._left(), self.waiting.left_for_reports)
        before = self._waited
        text = self._text_or_reason(most)
        self.waiting.left_for_reports -= self._waited - before
        return f"{text}\n({self.whole})"

    def _text_or_reason(self, most: float) -> str:
        try:
            text = self._driver_text("stderr", most)
        except errors.IsolatedEmrError as error:
            return f"standard error cannot be read: {error.what} {error.checked}"
        if text is None:
            return f"standard error is not on S3 yet, {self._since()}; EMR puts logs there every 5 minutes"
        return f"standard error ends with:\n{text[-TAIL:].strip()}"

    def _whole_text(self, name: str) -> str:
        text = self._driver_text(name, self._left())
        if text is None:
            driver = self._driver or self._own
            raise self._missing(
                f"{name} of the step {self.step_id}", f"{driver.uri}/{name}.gz" if driver else ""
            )
        return text

    def _at(self, uri: str) -> str:
        """Return the text of one of the step's own logs."""
        name = uri.rpartition("/")[2]
        text = None if self._own is None else self._read(self._own, name, self._left())
        if text is None:
            raise self._missing(f"the log {name} of the step {self.step_id}", f"{uri}.gz" if uri else "")
        return text

    def _missing(self, what: str, uri: str) -> errors.StepLogsMissing:
        if not uri:
            return errors.StepLogsMissing(
                f"There is no {what} to be had.",
                checked="the cluster has no LogUri: its logs are on its instances alone",
                cure="Give it a LogUri, or let the fixtures make the cluster.",
            )
        return errors.StepLogsMissing(
            f"On S3 there is no {what} yet.",
            checked=f"{uri}, {self._since()}",
            cure="It comes there, as EMR puts logs on S3 every 5 minutes. Let the test look at what the job writes "
            "rather than at what it prints.",
        )

    def _since(self) -> str:
        return f"after {self._waited:.0f} seconds of waiting"

    def _left(self) -> float:
        # Of a step that never ran there is nothing to come.
        ran = "StartDateTime" in self.status["Timeline"]
        return max(0.0, round(self.waiting.pace.logs - self._waited, 3)) if ran else 0.0

    @property
    def _own(self) -> LogDirectory | None:
        return None if self.cluster is None else self.cluster.below("steps", self.step_id)

    def _driver_text(self, name: str, most: float) -> str | None:
        until = self._waited + most
        driver = self._directory_of_driver(most)
        return None if driver is None else self._read(driver, name, max(0.0, until - self._waited))

    def _directory_of_driver(self, most: float) -> LogDirectory | None:
        if self._driver is None and self.cluster is not None and self._own is not None:
            until = self._waited + most
            stderr = self._read(self._own, "stderr", most)
            if stderr is None:
                return None
            applications = _APPLICATION.findall(stderr)
            if not applications:
                self._driver = self._own
                return self._driver
            containers = self.cluster.below("containers", applications[-1])
            for _ in self._looks(max(0.0, until - self._waited)):
                masters = {found[1] for log in containers.stored() if (found := _DRIVER.match(log.name))}
                if masters:
                    self._driver = containers.below(max(masters))
                    break
        return self._driver

    def _read(self, directory: LogDirectory, name: str, most: float) -> str | None:
        """Return a log as it is since the step's end; None if it is not there in the time.

        One that is missing beside others which were put there since then is empty.
        """
        key = f"{directory.uri}/{name}"
        if key not in self._texts:
            text = self._text_of(directory, name, most)
            if text is None:
                return None
            self._texts[key] = text
        return self._texts[key]

    def _text_of(self, directory: LogDirectory, name: str, most: float) -> str | None:
        found = None
        come: float | None = None
        for _ in self._looks(most):
            there = {log.name: log for log in directory.stored()}
            found = there.get(name)
            if found is not None and self._is_final(found, directory, there):
                return directory.text(found)
            if come is None and any(self._is_final(log, directory, there) for log in there.values()):
                come = self._waited
            # They come one after the other.
            if come is not None and self._waited - come >= self.waiting.pace.longest_poll:
                return directory.text(found) if found is not None else ""
        if "StartDateTime" not in self.status["Timeline"]:
            return directory.text(found) if found is not None else ""
        # After all that time it was put there for the last time.
        return directory.text(found) if found is not None and not self._left() else None

    def _is_final(self, log: StoredLog, directory: LogDirectory, there: dict[str, StoredLog]) -> bool:
        """Tell whether a log was put on S3 when the step had ended."""
        if self._ended is None and "controller" in there:
            ended = _ENDED.search(directory.text(there["controller"]))
            if ended:
                self._ended = datetime.fromisoformat(f"{ended[1]}+00:00")
        end = self._ended or self.status["Timeline"].get("EndDateTime")
        return end is not None and log.modified >= end.replace(microsecond=0)

    def _looks(self, most: float) -> Iterator[None]:
        """Yield at once, and again after each pause for as long."""
        waited, pause = 0.0, self.waiting.pace.poll
        while True:
            yield
            pause = min(pause, most - waited)
            if pause <= 0:
                return
            if not waited:
                self.waiting.say(
                    f"waiting for the logs of the step {self.step_id}: EMR puts them on S3 every 5 minutes"
                )
            self.waiting.wait(pause)
            waited += pause
            self._waited += pause
            pause = self.waiting.pace.longer(pause)
