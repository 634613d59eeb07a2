"""What a session has on Amazon's AWS: its place on S3, the credentials of its tests, and its cluster."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import timedelta
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.base import PATIENCE, BackendContext
from pytest_isolated_emr.backends.emr import tags
from pytest_isolated_emr.backends.emr.account import Account
from pytest_isolated_emr.backends.emr.cluster import KIND, SessionCluster
from pytest_isolated_emr.backends.emr.credentials_server import CredentialsServer
from pytest_isolated_emr.backends.emr.limited_credentials import LimitedCredentials
from pytest_isolated_emr.backends.emr.options import EmrOptions
from pytest_isolated_emr.backends.emr.pace import Pace, Stop, Stopped
from pytest_isolated_emr.backends.emr.place import Place
from pytest_isolated_emr.backends.emr.preflight import check_bucket, check_cluster
from pytest_isolated_emr.backends.emr.renewal import Renewal
from pytest_isolated_emr.backends.emr.session_policy import session_policy
from pytest_isolated_emr.backends.emr.tags import SessionIdentity
from pytest_isolated_emr.backends.emr.terms import ClusterTerms
from pytest_isolated_emr.lifecycle.host import this_host

_NO_ROLE = "tests have your own AWS credentials, with all rights that you have: --isolated-emr-role-arn limits them to the run"


class AwsOfRun:
    """A session's AWS.

    :param context: the session.
    :param options: the session's.
    :param pace: how often AWS is asked, and how long for.
    """

    def __init__(self, context: BackendContext, options: EmrOptions, pace: Pace) -> None:
        self._context = context
        self._options = options
        self._pace = pace
        self.stop = Stop()
        self._credentials: LimitedCredentials | None = None
        self._server: CredentialsServer | None = None
        self._place: Place | None = None
        self._cluster: SessionCluster | None = None
        self._admission: asyncio.Task[None] | None = None
        self._launching: asyncio.Task[None] | None = None
        self._renewal: Renewal | None = None
        self._intended: dict[str, tuple[int, float]] = {}
        self._saying = ""
        self._ending: asyncio.Task[list[str]] | None = None
        self._early_end: asyncio.Task[list[str]] | None = None
        self._header: list[str] = []
        self._notes: list[str] = []

    # What every session has of it

    async def open(self) -> None:
        """See whose the credentials are and that the bucket is fit, take the place, and the tests' role if there is one.

        :raises IsolatedEmrError: the bucket, the role or the credentials are unfit, or AWS does not answer.
        """
        self.account = account = await asyncio.to_thread(Account.connect, self._context.region)
        options = self._options
        self._owner = f"{options.user} ({account.arn})"
        await asyncio.to_thread(check_bucket, account, options.bucket)
        if options.role_arn is not None:
            self._credentials = self._limited(account, options.role_arn)
            await asyncio.to_thread(self._credentials.current)
            self._server = CredentialsServer(self._credentials.current, account.id)
        else:
            self._header.append(_NO_ROLE)
        self._place = Place(
            account, self._context.journal, options, self._context.run_id, self._owner, self._pace
        )
        await asyncio.to_thread(self._place.take)
        self._renewal = Renewal(self._place, self._pace, self._stop_early)

    def _limited(self, account: Account, role_arn: str) -> LimitedCredentials:
        policy = session_policy(
            partition=account.partition,
            account_id=account.id,
            bucket=self._options.bucket,
            prefix=self._options.prefix,
            run_id=self._context.run_id,
            roles=self._options.cluster_roles,
        )
        return LimitedCredentials(account, role_arn, self._context.run_id, policy)

    def describe(self) -> dict[str, Any]:
        """Return what a client needs to use it."""
        assert self._place is not None
        return {
            "region": self.account.region,
            "bucket": self._options.bucket,
            "prefix": self._place.key("scratch"),
            "container_variables": self._server.variables() if self._server is not None else {},
            "notes": self._header,
            "place": self._place.uri,
            "account": self.account.id,
        }

    async def ready(self) -> None:
        """See that the session may go on.

        :raises IsolatedEmrError: it has lost its lease, or ends.
        """
        self.check()

    def check(self) -> None:
        """See that the session may go on, without asking AWS.

        :raises IsolatedEmrError: it has lost its lease, or ends.
        """
        if self._renewal is not None:
            self._renewal.check()
        if self._ending is not None:
            raise session_ends()

    async def answer(self, request: dict[str, Any], _worker: str) -> dict[str, Any] | None:
        """Answer what tests ask for of their cluster; None if it is something else.

        :raises IsolatedEmrError: it cannot be had.
        """
        match request["op"]:
            case "start_cluster":
                await self._start_cluster(request["request"])
                return {}
            case "cluster_id":
                cluster_id = await self.cluster_id()
                with contextlib.suppress(errors.AwsUnreachable):
                    # A silence of AWS's says nothing of the cluster.
                    await self.check_cluster()
                return {"cluster_id": cluster_id}
            case "intend_cluster":
                return await self._intend_cluster(request["name"])
            case "forget_cluster":
                self._forget_cluster(request["name"])
                return {}
            case "end_clusters":
                return {"waits_for": await self._clusters_end()}
        return None

    def notes(self) -> list[str]:
        """Return what the run cost."""
        return self._notes

    async def close(self) -> list[str]:
        """End the clusters, empty the prefix, and return what could not be removed."""
        try:
            if self._place is None:
                return []
            problems = await self._end()
            if self._renewal is not None:
                await self._renewal.end()
            # Else what says whose they are has to stay.
            return problems or await asyncio.to_thread(self._place.give_back, self._context.say)
        finally:
            if self._server is not None:
                self._server.close()

    async def _clusters_end(self) -> str:
        """End the clusters; return what that waits for, empty when they have ended, so that all of their logs are there."""
        ending = self._end()
        await asyncio.wait([ending], timeout=PATIENCE)
        return "" if ending.done() else self._saying

    def _end(self) -> asyncio.Task[list[str]]:
        """Begin to end all clusters, once."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_clusters())
        return self._ending

    def _stop_early(self) -> None:
        """Stop, as others may take the session for dead: nobody has any use for the clusters now, and they cost."""
        self.stop.set()
        if self._ending is not None:
            return
        # Not the end: a test may be about to make one.
        self._early_end = asyncio.create_task(self._end_clusters())
        self._early_end.add_done_callback(lambda task: task.cancelled() or task.exception())

    # The cluster

    async def waits_for(self) -> str:
        """Return what the cluster's start waits for, some seconds after it was asked last; empty for nothing.

        :raises IsolatedEmrError: it cannot be had.
        """
        self.check()
        if self._launching is None:
            return ""
        done, _ = await asyncio.wait([self._launching], timeout=PATIENCE)
        self.check()
        if not done:
            return self._cluster.words() if self._cluster is not None else self._saying
        await self._launched()
        return ""

    async def cluster_id(self) -> str:
        """Wait until the cluster takes work, and return its id.

        :raises IsolatedEmrError: it cannot be had, or no more.
        """
        self.check()
        if self._launching is None:
            raise errors.BadRequest(
                "The session's cluster was not asked for.",
                checked="what the session started",
                cure="Report this: the plugin asks for a cluster before it uses it.",
            )
        await self._launched()
        assert self._cluster is not None
        assert self._cluster.id is not None
        return self._cluster.id

    async def check_cluster(self) -> None:
        """See that the cluster has not ended.

        :raises IsolatedEmrError: it has, or AWS does not tell.
        """
        await self.cluster_id()
        assert self._cluster is not None
        await asyncio.to_thread(self._cluster.check)

    async def _launched(self) -> None:
        assert self._launching is not None
        try:
            await asyncio.shield(self._launching)
        except Stopped:
            self.check()
            raise session_ends() from None

    async def _start_cluster(self, asked: dict[str, Any]) -> None:
        self.check()
        if self._launching is None:
            self._launching = asyncio.create_task(self._launch(asked))
            # Nobody may ever ask for it; then its failure is nobody's either.
            self._launching.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def _launch(self, asked: dict[str, Any]) -> None:
        self._say("whether AWS has what the cluster needs")
        for note in await asyncio.to_thread(check_cluster, self.account, asked):
            self._notes.append(note)
        await asyncio.shield(self._admitted())
        self._say("the launch of the cluster")
        terms = self._terms()
        self._cluster = self._make_cluster(terms.identity)
        await asyncio.to_thread(self._cluster.launch, terms.request(asked))
        await asyncio.to_thread(self._cluster.wait_until_ready)

    def _admitted(self) -> asyncio.Task[None]:
        """Begin to wait until the session may have clusters, its own and those of tests, and has what each of them needs."""
        if self._admission is None:
            self._admission = asyncio.create_task(self._admit())
            # Who asked for it may be gone.
            self._admission.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._admission

    async def _admit(self) -> None:
        assert self._place is not None
        await asyncio.to_thread(self._place.claim_slot, self.stop, self._say)
        await asyncio.to_thread(self._place.upload_timer)

    async def _intend_cluster(self, name: str) -> dict[str, Any]:
        """Note a cluster that a test is about to make; the session may have none of its own.

        :returns: ``waits_for``, as long as the session may have none, to be asked again then; and when it may, what the
            cluster has of the session.
        """
        assert self._place is not None
        self.check()
        if tags.run_id_of(name) != self._context.run_id:
            raise errors.BadRequest(
                f"A test's cluster cannot be named {name!r}.",
                checked="names of a run's clusters begin with the run's",
                cure="Report this: the plugin gives them their names.",
            )
        admission = self._admitted()
        await asyncio.wait([admission], timeout=PATIENCE)
        # Its end may have come meanwhile.
        self.check()
        if not admission.done():
            return {"waits_for": self._saying}
        try:
            admission.result()
        except Stopped:
            raise session_ends() from None
        terms = self._terms()
        if name not in self._intended:
            entry = self._context.journal.intend(
                KIND, name, region=self.account.region, account=self.account.id, **terms.identity.facts()
            )
            self._intended[name] = entry, time.monotonic()
        return {"waits_for": "", "session_cluster": terms.to_message()}

    def _forget_cluster(self, name: str) -> None:
        """Note that AWS refused a test's cluster."""
        if name in self._intended:
            entry, _ = self._intended.pop(name)
            self._context.journal.removed(entry)

    async def _end_clusters(self) -> list[str]:
        self.stop.set()
        begun = [task for task in (self._early_end, self._admission, self._launching) if task is not None]
        if begun := [task for task in begun if task is not asyncio.current_task()]:
            self._say("what is being asked of AWS")
            await asyncio.wait(begun)
        if self._launching is None and not self._intended:
            return []
        cluster = self._cluster or self._make_cluster(self._terms().identity)
        # Of those that a test made just now AWS may not know yet.
        since = time.monotonic() - self._pace.settle
        late = [name for name, (_, at) in self._intended.items() if at > since]
        if late:
            self._say(f"whether AWS has made {', '.join(late)}")
        problems, costs = await asyncio.to_thread(cluster.end, self._say, late)
        self._notes += [cost for cost in costs if cost not in self._notes]
        if not problems:
            for name in list(self._intended):
                self._forget_cluster(name)
        return problems

    def _make_cluster(self, identity: SessionIdentity) -> SessionCluster:
        return SessionCluster(self.account, self._context.journal, identity, self._pace, self.stop)

    def _terms(self) -> ClusterTerms:
        """Return what a cluster that is launched now has of the session."""
        assert self._place is not None
        options = self._options
        identity = SessionIdentity(
            run_id=self._context.run_id,
            owner=self._owner,
            host=this_host().name,
            expiry=tags.expiry_after(self.account.now(), timedelta(minutes=options.most_minutes)),
            place=self._place.uri,
        )
        return ClusterTerms(identity, options.idle_minutes, options.most_minutes, f"{identity.place}/logs/")

    def _say(self, text: str) -> None:
        self._saying = text
        self._context.say(text)


def session_ends() -> errors.ClusterNotReady:
    """Return the error for what is asked of a session that ends."""
    return errors.ClusterNotReady(
        "The session ends.",
        checked="it was told to; what is asked of it now comes too late",
        cure="Run again.",
    )
