"""Pages of a list, as EMR's operations hand them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_isolated_emr.emr.errors import InvalidRequestException

#: https://docs.aws.amazon.com/emr/latest/APIReference/API_ListClusters.html ("50 clusters per call")
PAGE = 50


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
