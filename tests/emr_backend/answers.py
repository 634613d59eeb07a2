"""What AWS answers, and how an answer is changed on its way: late, with parts of it missing, or by another clock."""

from __future__ import annotations

import email.utils
import json
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from tests.emr_backend.aws_calls import Call

_ENDING = ("TERMINATING", "TERMINATED", "TERMINATED_WITH_ERRORS")


@dataclass(frozen=True)
class Answer:
    """An answer of HTTP.

    :param status: its number.
    :param reason: its words.
    :param headers: names and values.
    :param body: all of it.
    """

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return what it says, of a service that speaks JSON."""
        told: dict[str, Any] = json.loads(self.body)
        return told

    def with_body(self, body: bytes) -> Answer:
        """Return it with another body."""
        kept = [(name, value) for name, value in self.headers if name.casefold() != "content-length"]
        return replace(self, headers=[*kept, ("Content-Length", str(len(body)))], body=body)

    def with_json(self, told: dict[str, Any]) -> Answer:
        """Return it saying something else."""
        return self.with_body(json.dumps(told).encode())

    def with_dates(self, by: timedelta, names: tuple[str, ...]) -> Answer:
        """Return it with headers that are dates at another time."""
        headers = [
            (name, _shifted(value, by) if name.casefold() in names else value) for name, value in self.headers
        ]
        return replace(self, headers=headers)


def _shifted(value: str, by: timedelta) -> str:
    return email.utils.format_datetime(email.utils.parsedate_to_datetime(value) + by, usegmt=True)


#: What becomes of the answer to a call that was carried out.
Change = Callable[[Call, Answer], Answer]


@dataclass
class LaggingList:
    """ListClusters that does not know of a cluster yet that was launched through the proxy.

    :param seconds: for so long after the launch.
    :param calls: nor in so many lists after it, ...
    :param at_most: ... for so many seconds.
    """

    seconds: float = 0.0
    calls: int = 0
    at_most: float = math.inf
    _launched: dict[str, tuple[float, int]] = field(default_factory=dict)
    _listed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Note a launch; leave out what is new."""
        with self._lock:
            if call.operation == "RunJobFlow":
                self._launched[answer.json()["JobFlowId"]] = (time.monotonic(), self._listed)
            if call.operation != "ListClusters":
                return answer
            if "Marker" not in call.parameters:  # A further page belongs to the list that it goes on with.
                self._listed += 1
            told = answer.json()
            told["Clusters"] = [cluster for cluster in told["Clusters"] if not self._is_new(cluster["Id"])]
            return answer.with_json(told)

    def _is_new(self, cluster_id: str) -> bool:
        if cluster_id not in self._launched:
            return False
        at, listed = self._launched[cluster_id]
        age = time.monotonic() - at
        return age < self.seconds or (self._listed <= listed + self.calls and age < self.at_most)


@dataclass
class EventualTags:
    """DescribeCluster that does not tell the tags of a cluster yet that was launched through the proxy.

    :param answers: in so many answers.
    """

    answers: int
    _left: dict[str, int] = field(default_factory=dict)

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Note a launch; leave out tags."""
        if call.operation == "RunJobFlow":
            self._left[answer.json()["JobFlowId"]] = self.answers
        cluster_id = str(call.parameters.get("ClusterId", ""))
        if call.operation != "DescribeCluster" or self._left.get(cluster_id, 0) <= 0:
            return answer
        self._left[cluster_id] -= 1
        told = answer.json()
        told["Cluster"]["Tags"] = []
        return answer.with_json(told)


@dataclass
class StuckStarting:
    """Clusters launched through the proxy that stay in STARTING until they are terminated."""

    _launched: set[str] = field(default_factory=set)

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Note a launch; tell the state."""
        if call.operation == "RunJobFlow":
            self._launched.add(answer.json()["JobFlowId"])
        if call.operation not in ("DescribeCluster", "ListClusters"):
            return answer
        told = answer.json()
        for cluster in told.get("Clusters", [told.get("Cluster")]):
            if cluster["Id"] in self._launched and cluster["Status"]["State"] not in _ENDING:
                timeline = {"CreationDateTime": cluster["Status"]["Timeline"]["CreationDateTime"]}
                reason = {"Message": "Provisioning Amazon EC2 capacity"}
                cluster["Status"] = {"State": "STARTING", "StateChangeReason": reason, "Timeline": timeline}
        return answer.with_json(told)


@dataclass
class LongEnd:
    """Clusters that are TERMINATING for long before they have ended.

    :param has_come: once it is set, they have.
    """

    has_come: threading.Event = field(default_factory=threading.Event)

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Tell the state."""
        if self.has_come.is_set() or call.operation not in ("DescribeCluster", "ListClusters"):
            return answer
        told = answer.json()
        for cluster in told.get("Clusters", [told.get("Cluster")]):
            if cluster["Status"]["State"] in _ENDING:
                cluster["Status"]["State"] = "TERMINATING"
        return answer.with_json(told)


_XML_TIME = re.compile(rb"<(LastModified)>([^<]+)</")
_EMR_TIME = re.compile(r"DateTime$")


@dataclass(frozen=True)
class SkewedClock:
    """AWS's clock at another time than this machine's: one clock for all of AWS.

    :param by: how far it is ahead, or behind if it is less than nothing.
    """

    by: timedelta

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Tell all times by that clock."""
        answer = answer.with_dates(self.by, ("date", "last-modified"))
        if call.service == "emr":
            return answer.with_json(self._shifted(answer.json())) if answer.body else answer
        if call.service == "s3" and call.operation != "GetObject":
            return answer.with_body(_XML_TIME.sub(self._in_xml, answer.body))
        return answer

    def _in_xml(self, found: re.Match[bytes]) -> bytes:
        name, text = found[1], found[2].decode()
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc) + self.by
        return b"<%s>%s</" % (name, moment.strftime("%Y-%m-%dT%H:%M:%S.000Z").encode())

    def _shifted(self, told: Any, name: str = "") -> Any:
        if isinstance(told, dict):
            return {key: self._shifted(value, key) for key, value in told.items()}
        if isinstance(told, list):
            return [self._shifted(each) for each in told]
        if isinstance(told, int | float) and _EMR_TIME.search(name):
            return told + self.by.total_seconds()
        return told


@dataclass(frozen=True)
class Aged:
    """Leases and slots of one run that were written long ago: time has passed for it, and for no other.

    :param run_id: the run's.
    :param by: how long ago.
    """

    run_id: str
    by: timedelta = timedelta(hours=1)

    def __call__(self, call: Call, answer: Answer) -> Answer:
        """Tell an older time of the run's own leases."""
        if call.operation != "GetObject" or f'"{self.run_id}"'.encode() not in answer.body:
            return answer
        return answer.with_dates(-self.by, ("last-modified",))
