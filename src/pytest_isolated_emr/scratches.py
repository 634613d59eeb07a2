"""Scratch for tests and for the session, each removed at its end or kept for a look."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr import scratch
from pytest_isolated_emr.scratch import Scratch
from pytest_isolated_emr.session import Session


class Scratches:
    """Makes scratch in the session's bucket and directory.

    :param session: the session.
    :param is_kept: tells whether a test's scratch is kept, or with no test the session's.
    :param on_kept: is told of each directory that was kept, with the name of whose it is.
    """

    def __init__(
        self,
        session: Session,
        *,
        is_kept: Callable[[pytest.Item | None], bool],
        on_kept: Callable[[str, Path], None],
    ) -> None:
        self._session = session
        self._is_kept = is_kept
        self._on_kept = on_kept
        self._count = 0
        self._of_session: Scratch | None = None

    @contextmanager
    def for_test(self, item: pytest.Item) -> Iterator[Scratch]:
        """Give a test its scratch.

        :param item: the test.
        """
        self._count += 1
        place = self._make(scratch.name_for(item.nodeid, self._count))
        yield place
        self._end(place, item, item.nodeid)

    def of_session(self) -> Scratch:
        """Return the scratch that all tests of this process share."""
        if self._of_session is None:
            self._of_session = self._make("session")
        return self._of_session

    def end_session(self) -> None:
        """Remove the scratch of the session, or keep it, if a test asked for it."""
        place, self._of_session = self._of_session, None
        if place is not None:
            self._end(place, None, "session_scratch")

    def _make(self, name: str) -> Scratch:
        worker = self._session.worker
        path = self._session.directory / "scratch" / worker / name
        path.mkdir(parents=True, mode=0o700)
        parts = filter(None, [self._session.bucket, self._session.prefix, worker, name])
        return Scratch(f"s3://{'/'.join(parts)}", path)

    def _end(self, place: Scratch, item: pytest.Item | None, whose: str) -> None:
        try:
            self._end_directory(place, item, whose)
        finally:
            self._end_objects(place)

    def _end_directory(self, place: Scratch, item: pytest.Item | None, whose: str) -> None:
        if self._is_kept(item):
            self._session.client.request("keep")
            destination = self._session.directory / "kept" / self._session.worker / place.path.name
            is_whole = scratch.keep(place, self._client, destination)
            self._on_kept(
                whose if is_whole else f"{whose} (not all of its objects: they are too many)", destination
            )
        else:
            scratch.remove_directory(place)

    def _end_objects(self, place: Scratch) -> None:
        if self._session.endpoint_url is None:
            scratch.remove_objects(place, self._client)
        else:
            # The endpoint deletes them at once, however many there are.
            self._session.client.request("empty_prefix", bucket=place.bucket, prefix=f"{place.prefix}/")

    @cached_property
    def _client(self) -> Any:
        return self._session.scratch_client()
