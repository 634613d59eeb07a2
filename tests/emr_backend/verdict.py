"""What must not be after a case, whatever went wrong in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from tests.emr_backend.auditor import Audit
from tests.emr_backend.cases import Case

#: What a person is not to meet: "report this", and errors without a name.
_NOT_WORDS_FOR_USERS = ("IE000", "IE206")
#: Nor Python's own.
_PYTHONS_ERROR = re.compile(
    r"Traceback|\b(?:Assertion|Attribute|Index|Key|Name|OS|Runtime|Type|Value)Error\b"
)
_KEEPER_IS_GONE = ("IE201", "IE202")


def violations(
    case: Case, told: Sequence[dict[str, Any]], before: Audit, after: Audit, left_here: Sequence[str]
) -> list[str]:
    """Return what is wrong, in words; nothing if all is well.

    :param case: which one.
    :param told: what the user was told, one event each.
    :param before: what was there when the session had ended.
    :param after: what was there after the sweep.
    :param left_here: what is left on this machine after the sweep.
    """
    found = _of_audit(after)
    found += [f"left on this machine after the sweep: {name}" for name in left_here]
    found += [f"the session's process failed: {event['what']}" for event in told if event["event"] == "crash"]
    if case.client_dies.replace("launched", "asked") in [event["event"] for event in told]:
        # There was nobody to be told.
        if before.leaked and not case.rules and not case.changes and case.kill_at_line == "":
            found.append(f"left by a keeper that outlived pytest: {before.leaked}")
        return found
    return found + _of_words(case, told, before)


def _of_audit(after: Audit) -> list[str]:
    found = []
    if after.alive_at_once > 1:
        found.append(f"{after.alive_at_once} clusters of one name were alive at once")
    if after.sparks > 1:
        found.append(f"{after.sparks} sessions of Spark's were started, for one that was asked for")
    found += [f"left after the sweep: {thing}" for thing in after.leaked]
    found += [f"changed outside of the run: {thing}" for thing in after.changed]
    found += [f"not the session's to end: {thing}" for thing in after.wrongly_ended]
    return found


def _of_words(case: Case, told: Sequence[dict[str, Any]], before: Audit) -> list[str]:
    found = []
    events = [event["event"] for event in told]
    # What a sweep says comes later, and perhaps to somebody else.
    words = sentences(event for event in told if event["event"] != "sweep")
    if case.expects and not any(re.search(case.expects, sentence) for sentence in words):
        found.append(f"the user was not told {case.expects!r}")
    did_its_work = "worked" in events and not (case.ended_by_somebody and case.work_seconds)
    if not (did_its_work and not before.leaked) and not words:
        found.append(f"the user was told nothing; left: {before.leaked}")
    is_keeper_gone = any(event.get("code") in _KEEPER_IS_GONE for event in told)
    says_so = "problem" in events or any("removed" in sentence for sentence in words)
    if before.leaked and not is_keeper_gone and not says_so:
        found.append(f"left without a word of it: {before.leaked}")
    for event in told:
        text = json.dumps(event)
        if event.get("code") in _NOT_WORDS_FOR_USERS or _PYTHONS_ERROR.search(text):
            found.append(f"no words for users: {text}")
    return found


def sentences(told: Any) -> list[str]:
    """Return what the user was told of things that went wrong.

    :param told: events.
    """
    return [
        f"{event.get('code', event['event'])}: {event['what']} {event.get('checked', '')}"
        for event in told
        if event["event"] in ("error", "problem", "sweep")
    ]
