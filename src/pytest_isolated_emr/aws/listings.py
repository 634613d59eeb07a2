"""Listings of many keys: moto writes one entry of each kind, and the others are written after its pattern.

moto's serializer looks every value of every entry up in the service's model, and parses each time that it has just written:
120 ms for a thousand keys. What an entry looks like stays moto's business.
"""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape

from moto.core.responses import ActionResult
from moto.s3.responses import S3Response

#: The operations, with the name of their entries in moto's result and in the answer.
_ENTRIES = {
    "ListObjects": ("Contents", "Contents"),
    "ListObjectsV2": ("Contents", "Contents"),
    "ListObjectVersions": ("Versions", "Version"),
}
#: Below this many there is nothing to gain.
_MANY = 10
#: What is different in each entry, and what stands for it in the pattern. All else makes another kind of entry.
_FILLED = {
    "Key": "key-of-the-entry",
    "ETag": "etag-of-the-entry",
    "VersionId": "version-of-the-entry",
    "LastModified": "2001-02-03T04:05:06.000Z",
    "Size": 1234567890123,
}


class S3Listings(S3Response):  # type: ignore[misc]
    """moto's S3, which lists quickly."""

    def serialized(self, action_result: ActionResult) -> Any:
        """Return status, headers and body."""
        name, tag = _ENTRIES.get(self.data.get("Action", ""), ("", ""))
        result = action_result.result
        if not isinstance(result, dict) or len(entries := result.get(name, ())) < _MANY:
            return super().serialized(action_result)
        kinds: dict[str, dict[str, Any]] = {}
        kind_of_each = []
        for entry in entries:
            kind = {field: _FILLED.get(field, value) for field, value in entry.items()}
            kinds.setdefault(repr(kind), kind)
            kind_of_each.append(repr(kind))
        status, headers, body = super().serialized(ActionResult({**result, name: [*kinds.values()]}))
        patterns = _patterns(body, tag, [*kinds.values()])
        if patterns is None:
            return super().serialized(action_result)
        start, by_number, end = patterns
        by_kind = dict(zip(kinds, by_number, strict=True))
        written = [
            by_kind[kind] % {field: escape(str(entry[field])) for field in _FILLED if field in entry}
            for kind, entry in zip(kind_of_each, entries, strict=True)
        ]
        return status, headers, "".join([start, *written, end])


def _patterns(body: str, tag: str, kinds: list[dict[str, Any]]) -> tuple[str, list[str], str] | None:
    """Return what is before the entries, a pattern of each kind, and what is after them; None if moto wrote otherwise."""
    found = list(re.finditer(f"<{tag}>.*?</{tag}>", body, re.DOTALL))
    if len(found) != len(kinds):
        return None
    patterns = []
    for match, kind in zip(found, kinds, strict=True):
        pattern = match[0].replace("%", "%%")
        for field in _FILLED.keys() & kind.keys():
            filler = str(_FILLED[field])
            if pattern.count(filler) != 1:
                return None
            pattern = pattern.replace(filler, f"%({field})s")
        patterns.append(pattern)
    return body[: found[0].start()], patterns, body[found[-1].end() :]
