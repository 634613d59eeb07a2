"""Pages of a list, as EMR's operations hand them out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pytest_isolated_emr.emr.errors import InvalidRequestException

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ListClusters.html ("50 clusters per call")
PAGE = 50


def page_after(
    items: Sequence[Any],
    is_wanted: Callable[[Any], bool],
    describe: Callable[[Any], dict[str, Any]],
    key: str,
    request: dict[str, Any],
) -> dict[str, Any]:
    """Return one page of what changes while it is listed. Its mark is the last item's id, and not a number: an item that
    is no longer wanted, or a new one, shifts no other.

    :param items: all of them, each with an ``id``.
    :param is_wanted: tells which are asked for.
    :param describe: an item as the answer has it.
    :param key: the answer's name for them.
    :param request: what was asked for, the mark of this page among it.
    :raises InvalidRequestException: the mark is none of ours.
    """
    start, asked = 0, request.get("Marker")
    if asked:
        ids = [item.id for item in items]
        if asked not in ids:
            raise InvalidRequestException(f"Marker '{asked}' is not valid.")
        start = ids.index(asked) + 1
    wanted = [item for item in items[start:] if is_wanted(item)]
    shown = wanted[:PAGE]
    answer: dict[str, Any] = {key: [describe(item) for item in shown]}
    if len(wanted) > PAGE:
        answer["Marker"] = shown[-1].id
    return answer


def page(
    items: Sequence[Any], key: str, request: dict[str, Any], marker: str = "Marker", most: int = PAGE
) -> dict[str, Any]:
    """Return one page, and the mark of the next if there is one.

    :param items: all of them.
    :param key: the answer's name for them.
    :param request: what was asked for, the mark of this page among it.
    :param marker: the name of the mark.
    :param most: how many a page has at most, where the request asks for more than usual.
    :raises InvalidRequestException: the mark is none of ours.
    """
    asked = request.get(marker) or "0"
    if not asked.isdigit():
        raise InvalidRequestException(f"{marker} '{asked}' is not valid.")
    start, size = int(asked), min(request.get("MaxResults") or PAGE, most)
    answer: dict[str, Any] = {key: list(items[start : start + size])}
    if start + size < len(items):
        answer[marker] = str(start + size)
    return answer
