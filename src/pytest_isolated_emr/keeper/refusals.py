"""What a client is told of what goes wrong in its keeper."""

from __future__ import annotations

import traceback
from pathlib import Path

from pytest_isolated_emr import errors
from pytest_isolated_emr.lifecycle.system_errors import in_words, in_words_here


def of_opening(error: Exception) -> errors.IsolatedEmrError:
    """Return what the client is told of a session that could not be opened.

    :param error: why.
    """
    return in_words_here(error) or errors.KeeperNotStarted(
        f"The keeper could not make the environment: {type(error).__name__}: {error}",
        # Its log goes with the session's directory.
        checked="".join(traceback.format_exception(error)).strip(),
        cure="Run again; if it recurs, report this with the traceback.",
    )


def of_request(error: Exception, root: Path, op: str) -> errors.IsolatedEmrError:
    """Return what the client is told of a request that failed unexpectedly.

    :param error: why.
    :param root: the state directory.
    :param op: what was asked for.
    """
    return in_words(error, root) or errors.BadRequest(
        f"The keeper failed at {op!r}: {type(error).__name__}: {error}",
        checked="the operation itself; the keeper's log has the traceback",
        cure="Report this with the log (`isolated-emr logs`).",
    )


def with_problems(error: errors.IsolatedEmrError, problems: list[str]) -> dict[str, str]:
    """Return the error of a session that could not be opened, with what could not be removed again.

    :param error: the error.
    :param problems: what could not be removed.
    """
    told = error.to_message()
    if problems:
        told["checked"] += f"; could not be removed: {'; '.join(problems)}"
        told["cure"] += " Run `isolated-emr sweep --delete` then, for what is left."
    return told
