"""A session's place on S3: its lease, its slot among the sessions that may run at once, and its own prefix."""

from __future__ import annotations

import time
from collections.abc import Callable

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr import lifetime
from pytest_isolated_emr.backends.emr.account import Account, aws_errors
from pytest_isolated_emr.backends.emr.lease import Lease, LeaseBody
from pytest_isolated_emr.backends.emr.options import EmrOptions
from pytest_isolated_emr.backends.emr.pace import Pace, Stop
from pytest_isolated_emr.backends.emr.prefix import RunPrefix
from pytest_isolated_emr.backends.emr.slots import Slots, remove_slots
from pytest_isolated_emr.lifecycle.journal import Journal

PREFIX_KIND = "emr-prefix"
SLOT_KIND = "emr-slot"


class Place:
    """A session's place. Its methods make calls of S3, one at a time.

    :param account: whose bucket it is in.
    :param journal: the session's.
    :param options: the session's.
    :param run_id: the session's name.
    :param owner: who started it.
    :param pace: how long a lease lasts.
    """

    def __init__(
        self, account: Account, journal: Journal, options: EmrOptions, run_id: str, owner: str, pace: Pace
    ) -> None:
        self._account = account
        self._journal = journal
        self._options = options
        self._run_id = run_id
        self._pace = pace
        self._body = LeaseBody.of_this_process(run_id, owner, pace.lease)
        self._prefix = RunPrefix(account, options.bucket, options.prefix, run_id)
        self._lease = Lease(account, options.bucket, self._prefix.lease_key, self._body)
        self._slot: Lease | None = None
        self._is_taken = False
        self._entries: dict[str, int] = {}

    @property
    def uri(self) -> str:
        """Where it is, as ``s3://bucket/prefix/run id``."""
        return self._prefix.uri

    def key(self, *parts: str) -> str:
        """Return the key of something below it.

        :param parts: its names.
        """
        return self._prefix.key(*parts)

    def take(self) -> None:
        """Write the lease, which says that what is below the prefix is wanted.

        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        self._intend(PREFIX_KIND, self.uri)
        try:
            self._lease.take()
        except errors.AwsRefused:
            # There is nothing to be given back.
            self._removed(PREFIX_KIND)
            raise
        self._is_taken = True
        self._journal.created(self._entries[PREFIX_KIND])

    def claim_slot(self, stop: Stop, say: Callable[[str], None]) -> None:
        """Wait until fewer sessions run than may.

        :param stop: cuts it off.
        :param say: is told who holds the slots.
        :raises NoSlot: none became free in time.
        :raises IsolatedEmrError: AWS refused it, or did not answer.
        :raises Stopped: the session ends.
        """
        options = self._options
        slots = Slots(self._account, options.bucket, options.prefix, options.max_sessions, self._body)
        self._intend(SLOT_KIND, f"s3://{options.bucket}/{options.prefix}")
        began, pause = time.monotonic(), self._pace.poll
        while (slot := slots.try_claim()) is None:
            waited = time.monotonic() - began
            if waited >= options.wait_seconds:
                raise slots.refusal(waited)
            say(f"a free slot, for {waited:.0f} s of at most {options.wait_seconds:.0f}: {slots.words()}")
            stop.wait(min(pause, options.wait_seconds - waited))
            pause = self._pace.longer(pause)
        self._slot = slot
        self._journal.created(self._entries[SLOT_KIND], key=slot.key)

    def upload_timer(self) -> None:
        """Store the script of the cluster's timer where the cluster finds it.

        :raises IsolatedEmrError: AWS refused it, or did not answer.
        """
        key = self.key(lifetime.KEY)
        with aws_errors(f"storing s3://{self._options.bucket}/{key} (s3:PutObject)"):
            self._account.client("s3").put_object(
                Bucket=self._options.bucket, Key=key, Body=lifetime.script().encode()
            )

    def renew(self) -> None:
        """Write the lease again, and that of the slot.

        :raises LeaseLapsed: one of them is not the session's any more.
        :raises IsolatedEmrError: AWS refused it, or did not answer. It may be called again.
        """
        self._lease.renew()
        if self._slot is not None:
            self._slot.renew()

    @property
    def has_lapsed(self) -> bool:
        """Whether others may take the session for dead."""
        return self._lease.has_lapsed

    def give_back(self, say: Callable[[str], None]) -> list[str]:
        """Give the slot back and empty the prefix, the lease last.

        :param say: is told how far it is.
        :returns: what could not be removed, and why. What another one has taken over is left to it.
        """
        if not self._entries:
            return []
        problems: list[str] = []
        try:
            if not self._is_taken:
                # An answer got lost: there may be the lease, and nothing else.
                self._lease.remove()
                self._removed(PREFIX_KIND)
                return []
            # Whoever lost it has no right to what is there, and a sweep does the rest.
            self._lease.renew()
            if SLOT_KIND in self._entries:
                self._give_slot_back()
        except errors.IsolatedEmrError as error:
            problems.append(f"{self.uri}: {error.what} {error.checked}")
        if not problems:
            say(f"emptying {self.uri}")
            problems = self._prefix.empty(lambda text: say(f"emptying {self.uri}: {text}"))
        if not problems:
            self._removed(PREFIX_KIND)
        return problems

    def _give_slot_back(self) -> None:
        if self._slot is not None:
            self._slot.remove()
        else:
            # A claim whose answer got lost may have been one.
            options = self._options
            remove_slots(self._account, options.bucket, options.prefix, self._run_id)
        self._removed(SLOT_KIND)

    def _intend(self, kind: str, name: str) -> None:
        self._entries[kind] = self._journal.intend(
            kind,
            name,
            region=self._account.region,
            account=self._account.id,
            bucket=self._options.bucket,
            prefix=self._options.prefix,
        )

    def _removed(self, kind: str) -> None:
        self._journal.removed(self._entries.pop(kind))
