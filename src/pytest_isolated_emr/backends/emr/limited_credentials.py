"""Credentials of a role, limited to one run, and renewed as long as the run lasts."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.emr.account import Account, aws_errors

#: The most that a role may be taken for by one who has a role already, as CI has
#: (https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining).
_DURATION_SECONDS = 3600
_RENEW_BEFORE = timedelta(minutes=15)
#: Clients ask again only a few times, and give up each time after two seconds (botocore's ContainerMetadataFetcher).
_PATIENCE_SECONDS = 1.0
#: Between two tries, so that a client that asks all the time does not.
_RETRY_SECONDS = 10.0


@dataclass(frozen=True)
class TemporaryCredentials:
    """What AssumeRole gave.

    :param access_key_id: the key.
    :param secret_access_key: its secret.
    :param session_token: what makes them temporary.
    :param expiration: when they end, by AWS's clock.
    """

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    expiration: datetime

    def left(self) -> timedelta:
        """Return how long they last still."""
        return self.expiration - datetime.now(timezone.utc)


class LimitedCredentials:
    """Takes a role with a session policy, again and again.

    :param account: with the user's own credentials, which may take the role.
    :param role_arn: the role.
    :param run_id: the run, by which AWS's records name the credentials.
    :param policy: the session policy, as JSON.
    :param renew_before: how long before their end they are renewed.
    :param retry_seconds: the least time between a failed try and the next one.
    """

    def __init__(
        self,
        account: Account,
        role_arn: str,
        run_id: str,
        policy: str,
        *,
        renew_before: timedelta = _RENEW_BEFORE,
        retry_seconds: float = _RETRY_SECONDS,
    ) -> None:
        self.account_id = account.id
        self._account = account
        self._role_arn = role_arn
        self._run_id = run_id
        self._policy = policy
        self._renew_before = renew_before
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._credentials: TemporaryCredentials | None = None
        self._renewal: Future[TemporaryCredentials] | None = None
        self._failed_at: float | None = None
        #: Why they could not be renewed at the last try; None if they could.
        self.problem: errors.IsolatedEmrError | None = None

    def current(self) -> TemporaryCredentials:
        """Return credentials that are valid, from whatever thread.

        They are renewed when less than 15 minutes are left. While that fails, or takes longer than a client waits,
        the old ones are returned as long as they last.

        :raises CredentialsUnusable: the role cannot be taken.
        :raises AwsUnreachable: AWS does not answer.
        """
        with self._lock:
            credentials = self._credentials
            if credentials is not None and (credentials.left() > self._renew_before or self._is_resting()):
                return credentials
            renewal = self._renewal = self._renewal or self._start_renewal()
        usable = credentials is not None and credentials.left() > timedelta(0)
        try:
            return renewal.result(_PATIENCE_SECONDS if usable else None)
        except NotInTime:
            pass
        except errors.IsolatedEmrError:
            if not usable:
                raise
        assert credentials is not None
        return credentials

    def _is_resting(self) -> bool:
        """Tell whether the last try was a moment ago, and what there is can do meanwhile."""
        assert self._credentials is not None
        return (
            self._failed_at is not None
            and time.monotonic() < self._failed_at + self._retry_seconds
            and self._credentials.left() > timedelta(0)
        )

    def _start_renewal(self) -> Future[TemporaryCredentials]:
        renewal: Future[TemporaryCredentials] = Future()
        # A thread of its own that nobody waits for: botocore may try for minutes.
        threading.Thread(target=self._renew, args=(renewal,), name="assume role", daemon=True).start()
        return renewal

    def _renew(self, renewal: Future[TemporaryCredentials]) -> None:
        try:
            credentials = self._assume_role()
        except BaseException as error:
            with self._lock:
                self._failed_at, self._renewal = time.monotonic(), None
                if isinstance(error, errors.IsolatedEmrError):
                    self.problem = error
            renewal.set_exception(error)
            if not isinstance(error, errors.IsolatedEmrError):
                raise
        else:
            with self._lock:
                self._credentials = credentials
                self.problem = self._failed_at = self._renewal = None
            renewal.set_result(credentials)

    def _assume_role(self) -> TemporaryCredentials:
        doing = f"taking the role {self._role_arn}"
        try:
            with aws_errors(doing):
                answer = self._account.client("sts").assume_role(
                    RoleArn=self._role_arn,
                    RoleSessionName=self._run_id,
                    Policy=self._policy,
                    DurationSeconds=_DURATION_SECONDS,
                )["Credentials"]
        except errors.AwsRefused as error:
            raise errors.CredentialsUnusable(
                f"The role {self._role_arn} cannot be taken for the tests.",
                checked=error.checked,
                cure=f"Let the role's trust policy name {self._account.arn} and its policy allow sts:AssumeRole, as "
                "docs/emr-iam.md shows, or leave --isolated-emr-role-arn out.",
            ) from error
        return TemporaryCredentials(
            answer["AccessKeyId"], answer["SecretAccessKey"], answer["SessionToken"], answer["Expiration"]
        )
