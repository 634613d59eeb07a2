"""A session as its client has it: the connection to the keeper, and what it owns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pytest_isolated_emr.aws.bucket_owner import expect_owner
from pytest_isolated_emr.aws.credentials import SessionCredentials
from pytest_isolated_emr.aws.environment import AwsEnvironment
from pytest_isolated_emr.aws.limited_environment import LimitedEnvironment
from pytest_isolated_emr.aws.own_environment import OwnEnvironment
from pytest_isolated_emr.environment_guard import EnvironmentGuard
from pytest_isolated_emr.keeper.client import KeeperClient
from pytest_isolated_emr.keeper.messages import Message
from pytest_isolated_emr.lifecycle import spare_slot
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark.environment import remote_variables, spark_variables

#: Names the session to the xdist workers that its owner starts: the owner's pid and the session's directory.
SESSION_VARIABLE = "ISOLATED_EMR_SESSION"
OWNER = "main"


@dataclass(frozen=True)
class Session:
    """What a session's client knows of it.

    :param client: the connection to the keeper.
    :param worker: this process's name in the session: ``main``, or an xdist worker's, such as ``gw0``.
    :param run_id: the session's name.
    :param backend: where Spark runs.
    :param directory: the session's directory, which goes with it.
    :param region: the AWS region that clients see.
    :param bucket: the bucket that has the scratch of all tests.
    :param prefix: the prefix of that scratch in the bucket, without slashes at its ends; empty for all of the bucket.
    :param endpoint_url: where the private AWS endpoint is; None on Amazon's own AWS.
    :param credentials: the only ones that the private endpoint accepts; None on Amazon's own AWS.
    :param container_variables: those by which AWS clients find the run's limited credentials; empty if there are none.
    :param aws_notes: what the user should know of the session's AWS.
    :param place: the run's own prefix on Amazon's own AWS, as ``s3://bucket/prefix/run id``; empty on the private one.
    :param account: the number of the account of Amazon's; empty on the private AWS.
    :param was_spare: whether it was there before this process asked for it.
    :param basetemp: the directory for ``tmp_path`` that its Spark sees already; empty for none.
    """

    client: KeeperClient
    worker: str
    run_id: str
    backend: str
    directory: Path
    region: str
    bucket: str
    prefix: str
    endpoint_url: str | None
    credentials: SessionCredentials | None
    container_variables: dict[str, str] = field(default_factory=dict, repr=False)
    aws_notes: tuple[str, ...] = ()
    place: str = ""
    account: str = ""
    was_spare: bool = False
    basetemp: str = ""

    @staticmethod
    def launch_keeper(settings: Settings) -> KeeperClient:
        """Begin to start a session: its keeper comes up while this process does something else.

        :param settings: what was asked for.
        """
        on_aws = settings.emr is not None
        # Elsewhere nothing of a session has any business with the user's AWS.
        return KeeperClient.launch(
            {name: value for name, value in os.environ.items() if on_aws or not name.startswith("AWS_")}
        )

    @classmethod
    def start(
        cls,
        settings: Settings,
        command: Sequence[str],
        keeper: KeeperClient,
        backend_options: Mapping[str, Any],
        claim: Mapping[str, Any] | None,
        progress: Callable[[str], None],
    ) -> Session:
        """Start a session that this process owns, and that ends with this process, once the machine has room for it.

        :param settings: what was asked for.
        :param command: the command line, for those who look at the session from outside.
        :param keeper: the session's, from :meth:`launch_keeper`.
        :param backend_options: what the backend is made with, see :mod:`pytest_isolated_emr.backend_options`.
        :param claim: what it takes of the machine, see :mod:`pytest_isolated_emr.claims`.
        :param progress: is told what is being waited for.
        :raises IsolatedEmrError: there can be no session.
        """
        opening = _opening(settings, command, backend_options, claim)
        return cls._of(keeper, OWNER, settings.backend, keeper.open(opening, progress))

    @classmethod
    def claim(
        cls,
        settings: Settings,
        command: Sequence[str],
        backend_options: Mapping[str, Any],
        key: str,
        claim: Mapping[str, Any] | None,
        progress: Callable[[str], None],
    ) -> Session | None:
        """Make a spare the session that this process owns; None if there is none, or it is not well.

        :param settings: what was asked for.
        :param command: the command line, for those who look at the session from outside.
        :param backend_options: as for :meth:`start`.
        :param key: of :func:`pytest_isolated_emr.spare_key.spare_key`.
        :param claim: as for :meth:`start`.
        :param progress: as for :meth:`start`.
        :raises IsolatedEmrError: it could not become the session.
        """
        root = StateRoot.from_environment()
        run_id = spare_slot.offered(root, key)
        if not run_id:
            return None
        opening = _opening(settings, command, backend_options, claim)
        claimed = KeeperClient.claim(root.sessions / run_id, key, opening, progress)
        return cls._of(claimed[0], OWNER, settings.backend, claimed[1], was_spare=True) if claimed else None

    @classmethod
    def attach(cls, directory: Path, worker: str, settings: Settings) -> Session:
        """Join a session that another process owns.

        :param directory: the session's directory.
        :param worker: this process's name in it.
        :param settings: the same that the owner has.
        :raises KeeperDied: the session is over.
        """
        client, described = KeeperClient.attach(directory, worker)
        return cls._of(client, worker, settings.backend, described)

    @classmethod
    def _of(
        cls,
        client: KeeperClient,
        worker: str,
        backend: str,
        described: Message,
        *,
        was_spare: bool = False,
    ) -> Session:
        url = described.get("endpoint_url")
        region = described["region"]
        return cls(
            client=client,
            worker=worker,
            run_id=described["run_id"],
            backend=backend,
            directory=Path(described["directory"]),
            region=region,
            bucket=described["bucket"],
            prefix=described["prefix"],
            endpoint_url=url,
            credentials=SessionCredentials(
                access_key_id=described["access_key_id"],
                secret_access_key=described["secret_access_key"],
                region=region,
            )
            if url
            else None,
            container_variables=described.get("container_variables", {}),
            aws_notes=tuple(described.get("notes", ())),
            place=described.get("place", ""),
            account=described.get("account", ""),
            was_spare=was_spare,
            basetemp=described.get("basetemp", ""),
        )

    @property
    def worker_directory(self) -> Path:
        """What this process has for itself inside the session's directory."""
        return self.directory / "workers" / self.worker

    @cached_property
    def boto3_session(self) -> Any:
        """A boto3 session with the session's credentials."""
        import boto3

        if self.credentials is None:
            # Found as every program of the run finds them: in its variables.
            return boto3.Session(region_name=self.region)
        return boto3.Session(
            aws_access_key_id=self.credentials.access_key_id,
            aws_secret_access_key=self.credentials.secret_access_key,
            region_name=self.region,
        )

    def client_of(self, service: str, **options: Any) -> Any:
        """Return a boto3 client of the session's AWS.

        :param service: the service's name in boto3, such as ``s3``.
        :param options: more for ``boto3.Session.client``.
        """
        if self.endpoint_url is not None:
            options = {"endpoint_url": self.endpoint_url, **options}
        return self.boto3_session.client(service, **options)

    def scratch_client(self) -> Any:
        """Return a boto3 client of S3 for the scratch, whose calls say whose its bucket has to be."""
        client = self.client_of("s3")
        expect_owner(client, lambda: self.account)
        return client

    def environment_guard(self, *, is_remote: bool) -> EnvironmentGuard:
        """Return the guard that shows this process, and what it starts, the session in place of the machine.

        :param is_remote: whether Spark is reached by Spark Connect.
        """
        self.worker_directory.mkdir(mode=0o700, exist_ok=True)
        aws = self._aws_environment()
        variables = aws.variables() | spark_variables(self.worker_directory)
        if is_remote:
            variables |= remote_variables()
        if self.worker == OWNER:
            # Only xdist workers of the owner may join; a pytest that a worker's test starts is none.
            variables[SESSION_VARIABLE] = f"{os.getpid()}:{self.directory}"
        return EnvironmentGuard(drop=lambda name: aws.drops(name) or is_dropped(name), set_=variables)

    def close(self, progress: Callable[[str], None]) -> tuple[list[str], list[str]]:
        """Have the keeper take the environment away, and wait for that, but for the removal of very many files.

        :param progress: is told what is being waited for.
        :returns: what could not be removed, and what the user should know else.
        :raises KeeperDied: the keeper is gone.
        """
        while "waits_for" in (answer := self.client.request("close")):
            progress(answer["waits_for"])
        if answer.get("goes_on"):
            self.client.leave_to_itself()
        return answer["problems"], answer["notes"]

    def _aws_environment(self) -> AwsEnvironment | LimitedEnvironment | OwnEnvironment:
        directory = self.worker_directory / "aws"
        if self.credentials is not None and self.endpoint_url is not None:
            return AwsEnvironment(self.credentials, self.endpoint_url, directory)
        if self.container_variables:
            return LimitedEnvironment(self.container_variables, self.region, directory)
        return OwnEnvironment(self.region)


def _opening(
    settings: Settings,
    command: Sequence[str],
    backend_options: Mapping[str, Any],
    claim: Mapping[str, Any] | None,
) -> dict[str, Any]:
    return {
        "claim": claim,
        "backend": settings.backend,
        "backend_options": dict(backend_options),
        "region": settings.region,
        "buckets": [
            {"name": bucket.name, "directory": str(bucket.directory) if bucket.directory else None}
            for bucket in settings.buckets
        ],
        "cwd": str(Path.cwd()),
        "command": list(command),
        "versions": {"pytest-isolated-emr": version("pytest-isolated-emr")},
    }


def is_dropped(name: str) -> bool:
    """Tell whether code under test must not see a variable of the machine's environment, whatever AWS it is on.

    :param name: the variable's name.
    """
    return name == SESSION_VARIABLE or name in _DROPPED


# Each leads Spark or Hadoop to a cluster, a server or a JVM that is not the session's.
_DROPPED = frozenset(
    {
        "HADOOP_CONF_DIR",
        "HIVE_CONF_DIR",
        "MASTER",
        "PYSPARK_GATEWAY_PORT",
        "PYSPARK_GATEWAY_SECRET",
        "SPARK_API_MODE",
        "SPARK_CONNECT_MODE_ENABLED",
        "SPARK_LOCAL_REMOTE",
        "SPARK_REMOTE",
        "YARN_CONF_DIR",
    }
)


def session_to_join(environ: dict[str, str] | os._Environ[str] = os.environ) -> tuple[Path, str] | None:
    """Return the session's directory and this process's name in it, if this is an xdist worker of a session.

    A pytest that a test starts has the same variables. It is no child of the session's owner, though, and is a
    session of its own.

    :param environ: the environment to read.
    """
    worker = environ.get("PYTEST_XDIST_WORKER")
    pid, _, directory = environ.get(SESSION_VARIABLE, "").partition(":")
    if not worker or not directory or pid != str(os.getppid()):
        return None
    return Path(directory), worker
