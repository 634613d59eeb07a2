"""The AWS account that a session's cluster is in, as the keeper reaches it with the user's own credentials."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
)
from botocore.parsers import ResponseParserError

from pytest_isolated_emr import errors
from pytest_isolated_emr.aws.bucket_owner import expect_owner
from pytest_isolated_emr.backends.emr.clock import elapsed_clock, server_time

#: Codes by which services say that credentials are none:
#: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html
_OF_CREDENTIALS = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidToken",
        "MissingAuthenticationToken",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
#: Codes that say "later": a call with one of them had no effect.
THROTTLED = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "TooManyRequestsException",
        "BandwidthLimitExceeded",
        "SlowDown",
        "PriorRequestNotComplete",
    }
)
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    CredentialRetrievalError,
    ProfileNotFound,
    SSOError,
)
_NO_ANSWER = (ConnectionError, HTTPClientError)
#: How services say that a request was signed at another time: by "Signature expired: 20261124T000000Z is now earlier than …",
#: by "Signature not yet current: …" (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html).
_OTHER_TIME = re.compile("Signature (?:expired|not yet current):")

#: Each attempt of a call is given up after this long, in seconds; botocore tries again.
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_ATTEMPTS = 8


class Account:
    """An account, with clients for it. Get one by :meth:`connect`.

    :param id: its number.
    :param arn: whose credentials these are.
    :param region: where the cluster is.
    """

    def __init__(self, session: Any, region: str, account_id: str, arn: str) -> None:
        self._session = session
        self._clients: dict[tuple[str, int], Any] = {}
        self._lock = threading.Lock()
        self.region = region
        self.id = account_id
        self.arn = arn
        self._connected: tuple[datetime, float] = (datetime.now(timezone.utc), elapsed_clock())

    @classmethod
    def connect(cls, region: str) -> Account:
        """Find the user's credentials as boto3 does, and ask AWS whose they are.

        :param region: where the cluster is to be.
        :raises CredentialsUnusable: there are none, or AWS does not take them.
        :raises AwsUnreachable: AWS does not answer.
        """
        with aws_errors("asking whose the credentials are"):
            # Of its own: boto3's default session is whoever's imported it first.
            session = boto3.Session(botocore_session=botocore.session.Session(), region_name=region)
            account = cls(session, region, "", "")
            caller = account.client("sts").get_caller_identity()
        account.id, account.arn = caller["Account"], caller["Arn"]
        account._connected = (server_time(caller) or datetime.now(timezone.utc), elapsed_clock())
        return account

    def client(self, service: str) -> Any:
        """Return a boto3 client, which threads may share. S3's says of each call whose the bucket has to be.

        :param service: its name in boto3.
        """
        return self._client(service, _ATTEMPTS)

    def client_that_asks_once(self, service: str) -> Any:
        """Return a boto3 client that tries no call again: for those that may have their effect twice.

        :param service: its name in boto3.
        """
        return self._client(service, 1)

    def _client(self, service: str, attempts: int) -> Any:
        with self._lock:
            if (service, attempts) not in self._clients:
                client = self._session.client(
                    service,
                    config=Config(
                        connect_timeout=_CONNECT_SECONDS,
                        read_timeout=_READ_SECONDS,
                        retries={"mode": "standard", "total_max_attempts": attempts},
                    ),
                )
                if service == "s3":
                    expect_owner(client, lambda: self.id)
                self._clients[service, attempts] = client
            return self._clients[service, attempts]

    @property
    def partition(self) -> str:
        """The part of AWS that the region is in, such as ``aws``."""
        return str(self._session.get_partition_for_region(self.region))

    def now(self) -> datetime:
        """Return what time it is for AWS, whatever this machine's clock says."""
        then, elapsed = self._connected
        return then + timedelta(seconds=elapsed_clock() - elapsed)


def code_of(error: ClientError) -> str:
    """Return the code of an error that AWS answered with, such as ``AccessDenied``.

    :param error: as botocore raises it.
    """
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: ClientError) -> int:
    """Return the HTTP status of an error that AWS answered with.

    :param error: as botocore raises it.
    """
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def is_without_effect(error: BotoCoreError | ClientError) -> bool:
    """Tell whether a call that failed had surely no effect: AWS refused it.

    :param error: as botocore raises it. One without an answer, or with a 5xx, may have had its effect.
    """
    if isinstance(error, ClientError):
        return code_of(error) in THROTTLED or status_of(error) < 500
    return not isinstance(error, _NO_ANSWER)


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn botocore's errors into ours.

    :param doing: what is being done, such as ``asking for the cluster's state``.
    :raises CredentialsUnusable: the credentials are none, or no more.
    :raises AwsRefused: AWS says no.
    :raises AwsUnreachable: there is no answer, or none that says anything.
    """
    try:
        yield
    except _NO_CREDENTIALS as error:
        raise errors.CredentialsUnusable(
            "There are no AWS credentials to use.",
            checked=f"{doing}: {error}",
            cure="Log in (`aws sso login`, say), set AWS_PROFILE, or give the CI job a role.",
        ) from error
    except ClientError as error:
        raise _of_answer(doing, error) from error
    except _NO_ANSWER as error:
        raise errors.AwsUnreachable(
            "AWS does not answer.",
            checked=f"{doing}: {error}",
            cure="Look at the network, at the region's name and at https://health.aws.amazon.com, and run again.",
        ) from error
    except ResponseParserError as error:
        # Of something between here and AWS, or cut off.
        raise errors.AwsUnreachable(
            "What answers is not AWS, or its answer was cut off.",
            checked=f"{doing}: {error}",
            cure="Look at proxies and at the network, and run again.",
        ) from error
    except BotoCoreError as error:
        raise errors.AwsRefused(
            "A call of AWS could not be made.",
            checked=f"{doing}: {error}",
            cure="Mend the setting that it names.",
        ) from error


def _of_answer(doing: str, error: ClientError) -> errors.IsolatedEmrError:
    code = code_of(error)
    words = error.response.get("Error", {}).get("Message") or "no more words"
    checked = f"{doing}: AWS says to {error.operation_name}: {code}: {words}"
    if code == "RequestTimeTooSkewed" or _OTHER_TIME.search(words):
        return errors.CredentialsUnusable(
            "This machine's clock is too far from AWS's.",
            checked=f"{checked}; it is {datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC here",
            cure="Set the clock (`timedatectl set-ntp true`, say; a virtual machine's after sleep), and run again.",
        )
    if code in _OF_CREDENTIALS:
        return errors.CredentialsUnusable(
            "AWS does not take these credentials, or no more.",
            checked=checked,
            cure="Log in again, or let the CI job take its role for as long as the run lasts.",
        )
    if code in THROTTLED or status_of(error) >= 500:
        return errors.AwsUnreachable(
            "AWS answers with errors of its own, or is asked too often.",
            checked=checked,
            cure="Wait, look at https://health.aws.amazon.com, and run again.",
        )
    return errors.AwsRefused(
        "AWS refuses a call.",
        checked=checked,
        cure="Give the credentials the rights of docs/emr-iam.md, or mend what AWS names.",
    )
