"""What goes wrong on AWS, and when: a plan that a proxy asks about each call."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from pytest_isolated_emr.aws import refusals
from tests.emr_backend.aws_calls import Call


class Fault(str, Enum):
    """What becomes of a call."""

    #: "Rate exceeded": no effect.
    THROTTLED = "throttled"
    #: A 500, and no effect.
    ERROR_BEFORE = "error before the effect"
    #: A 500, though it had its effect.
    ERROR_AFTER = "error after the effect"
    #: The connection ends, and there is no effect.
    DROPPED_BEFORE = "dropped before the effect"
    #: The connection ends, though it had its effect.
    DROPPED_AFTER = "dropped after the effect"
    #: The credentials are no more.
    EXPIRED = "expired"
    #: The credentials may not.
    DENIED = "denied"
    #: There may not be as many instances.
    OVER_QUOTA = "over a quota"
    #: The region does not have that release.
    NO_RELEASE = "unknown release"
    #: The caller's clock is too far from AWS's.
    SKEWED = "signed at another time"
    #: The keeper is killed while it asks, and there is no effect.
    KILLED_BEFORE = "keeper killed before the effect"
    #: The keeper is killed while it asks, though it had its effect.
    KILLED_AFTER = "keeper killed after the effect"

    @property
    def has_effect(self) -> bool:
        """Whether the service carries the call out."""
        return self in (Fault.ERROR_AFTER, Fault.DROPPED_AFTER, Fault.KILLED_AFTER)

    @property
    def has_answer(self) -> bool:
        """Whether the caller hears anything."""
        return self not in (Fault.DROPPED_BEFORE, Fault.DROPPED_AFTER) and not self.kills

    @property
    def is_of_emr_alone(self) -> bool:
        """Whether the other services have no such error."""
        return self in (Fault.OVER_QUOTA, Fault.NO_RELEASE)

    @property
    def kills(self) -> bool:
        """Whether it ends who called."""
        return self in (Fault.KILLED_BEFORE, Fault.KILLED_AFTER)


# All attempts of a call; an SDK does not make as many.
EVERY = 1000


@dataclass(frozen=True)
class Rule:
    """When a fault is met.

    :param fault: which one.
    :param operations: of which calls; none for all.
    :param first: from the so-many-th call of each operation on, counted from 1.
    :param count: so many calls of each operation.
    :param attempts: so many attempts of each call.
    :param key: of calls for S3's objects alone that have it in their key; empty for all calls.
    :param since: not before an operation was called so many times, and carried out.
    """

    fault: Fault
    operations: tuple[str, ...] = ()
    first: int = 1
    count: int = EVERY
    attempts: int = EVERY
    since: tuple[str, int] | None = None
    key: str = ""

    def __str__(self) -> str:
        what = "/".join(self.operations) if len(self.operations) <= 3 else "most calls"
        calls = (what or "each call") + (f" for {self.key}" if self.key else "")
        if self.count < EVERY:
            calls = f"{self.count} of {calls} from the {self.first}. on"
        elif self.first > 1:
            calls += f" from the {self.first}. on"
        attempts = f"{self.attempts} attempts of " if self.attempts < EVERY else ""
        since = f", after {self.since[1]} {self.since[0]}" if self.since else ""
        return f"{self.fault.value}: {attempts}{calls}{since}"


class Plan:
    """The faults of one case. Threads may ask it.

    :param rules: the first that fits counts.
    """

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self._rules = list(rules)
        self._lock = threading.Lock()
        self._numbers: dict[tuple[int, str], int] = {}
        self._counts: Counter[tuple[int, str]] = Counter()
        self._done: Counter[str] = Counter()

    def heal(self) -> None:
        """Let nothing go wrong any more."""
        with self._lock:
            self._rules.clear()

    def fault_of(self, call: Call) -> Fault | None:
        """Return what becomes of a call; None if nothing happens to it."""
        with self._lock:
            for place, rule in enumerate(self._rules):
                if rule.operations and call.operation not in rule.operations:
                    continue
                if rule.key not in str(call.parameters.get("Key", "")):
                    continue
                if rule.since is not None and self._done[rule.since[0]] < rule.since[1]:
                    continue
                number = self._number(place, call)
                if rule.first <= number < rule.first + rule.count and call.attempt <= rule.attempts:
                    return rule.fault
            return None

    def carried_out(self, call: Call) -> None:
        """Be told that a call had its effect."""
        with self._lock:
            self._done[call.operation] += 1

    def _number(self, place: int, call: Call) -> int:
        """Count a call once, however many attempts it has."""
        invocation = (place, call.invocation)
        if not call.invocation or invocation not in self._numbers:
            self._counts[place, call.operation] += 1
            self._numbers[invocation] = self._counts[place, call.operation]
        return self._numbers[invocation]


def error_of(fault: Fault, call: Call) -> refusals.Fault:
    """Return the error that a service answers with.

    :param fault: one that has an answer.
    :param call: what it answers.
    """
    status, code, message = _ERRORS[fault][call.service if call.service in ("s3", "emr", "ec2") else "query"]
    message = message.format(action=call.action)
    return refusals.Fault(status=status, s3=(code, message), query=code, ec2=code, json=code, message=message)


_BAD, _FORBIDDEN = "400 Bad Request", "403 Forbidden"
_INTERNAL, _UNAVAILABLE = "500 Internal Server Error", "503 Service Unavailable"
_WHO = "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: {action}"
_NO_POLICY = "because no identity-based policy allows the {action} action"
_TOO_OLD = (
    "Signature expired: 20261124T000000Z is now earlier than 20261124T010000Z (20261124T011500Z - 15 min.)"
)

#: Status, code and words, each service's own.
_ERRORS: dict[Fault, dict[str, tuple[str, str, str]]] = {
    Fault.THROTTLED: {
        "s3": ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
        "emr": (_BAD, "ThrottlingException", "Rate exceeded"),
        "ec2": (_UNAVAILABLE, "RequestLimitExceeded", "Request limit exceeded."),
        "query": (_BAD, "Throttling", "Rate exceeded"),
    },
    Fault.ERROR_BEFORE: {
        "s3": (_INTERNAL, "InternalError", "We encountered an internal error. Please try again."),
        "emr": (
            _INTERNAL,
            "InternalFailure",
            "The request processing has failed because of an unknown error",
        ),
        "ec2": (_INTERNAL, "InternalError", "An internal error has occurred"),
        "query": (
            _INTERNAL,
            "InternalFailure",
            "The request processing has failed because of an unknown error",
        ),
    },
    Fault.EXPIRED: {
        "s3": (_BAD, "ExpiredToken", "The provided token has expired."),
        "emr": (_BAD, "ExpiredTokenException", "The security token included in the request is expired"),
        "ec2": (_BAD, "RequestExpired", "Request has expired."),
        "query": (_FORBIDDEN, "ExpiredToken", "The security token included in the request is expired"),
    },
    Fault.DENIED: {
        "s3": (_FORBIDDEN, "AccessDenied", f"{_WHO} {_NO_POLICY}"),
        "emr": (_BAD, "AccessDeniedException", f"{_WHO} on resource: * {_NO_POLICY}"),
        "ec2": (
            _FORBIDDEN,
            "UnauthorizedOperation",
            f"You are not authorized to perform this operation. {_WHO}",
        ),
        "query": (_FORBIDDEN, "AccessDenied", f"{_WHO} on resource: * {_NO_POLICY}"),
    },
    Fault.NO_RELEASE: {"emr": (_BAD, "ValidationException", "The supplied release label is invalid.")},
    Fault.OVER_QUOTA: {
        "emr": (
            _BAD,
            "ValidationException",
            "The request to create the EMR cluster or add EC2 instances to it failed. The number of vCPUs for instance type "
            "m5.xlarge exceeds the EC2 service quota for that type.",
        ),
    },
    Fault.SKEWED: {
        "s3": (
            _FORBIDDEN,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
        ),
        "emr": (_BAD, "InvalidSignatureException", _TOO_OLD),
        "ec2": (_FORBIDDEN, "AuthFailure", "AWS was not able to validate the provided access credentials"),
        "query": (_FORBIDDEN, "SignatureDoesNotMatch", _TOO_OLD),
    },
}
_ERRORS[Fault.ERROR_AFTER] = _ERRORS[Fault.ERROR_BEFORE]
