"""Every error that a user can meet, each with a stable code.

A message always has the same parts, so that a reader finds the cure without a search: what happened, what was
checked to find that out, and what to do. ``docs/errors/<code>.md`` says more about each.
"""

from __future__ import annotations

from typing import ClassVar

#: What pytest exits with when an environment cannot be had (``EX_TEMPFAIL`` of sysexits.h), so that CI can tell it
#: from failing tests, which are 1.
EXIT_NO_ENVIRONMENT = 75


class IsolatedEmrError(Exception):
    """The base of this package's errors.

    :param what: one sentence on what happened.
    :param checked: what was looked at to find that out.
    :param cure: what the user can do about it.
    """

    code: ClassVar[str] = "IE000"

    def __init__(self, what: str, *, checked: str, cure: str) -> None:
        super().__init__(what, checked, cure)
        self.what = what
        self.checked = checked
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.code}: {self.what}\n  checked: {self.checked}\n  to do: {self.cure}\n  more: docs/errors/{self.code}.md"

    def to_message(self) -> dict[str, str]:
        """Return the error as plain text fields, to be sent from the keeper to its client."""
        return {"code": self.code, "what": self.what, "checked": self.checked, "cure": self.cure}


def from_message(message: dict[str, str]) -> IsolatedEmrError:
    """Rebuild the error that :meth:`IsolatedEmrError.to_message` took apart."""
    kinds = {kind.code: kind for kind in _all_kinds(IsolatedEmrError)}
    kind = kinds.get(message["code"], IsolatedEmrError)
    return kind(message["what"], checked=message["checked"], cure=message["cure"])


def _all_kinds(base: type[IsolatedEmrError]) -> list[type[IsolatedEmrError]]:
    kinds = [base]
    for kind in base.__subclasses__():
        kinds.extend(_all_kinds(kind))
    return kinds


class NotEnabled(IsolatedEmrError):
    """A fixture of ours was asked for in a run without ``--isolated-emr``."""

    code = "IE001"


class UnsupportedPlatform(IsolatedEmrError):
    """The operating system lacks what the promises rest on (Windows)."""

    code = "IE002"


class JavaNotFound(IsolatedEmrError):
    """No Java to run Spark with."""

    code = "IE101"


class JavaTooOld(IsolatedEmrError):
    """There is a Java, but the installed Spark needs a newer one."""

    code = "IE102"


class PysparkNotFound(IsolatedEmrError):
    """Pyspark cannot be imported by the Python that runs pytest."""

    code = "IE103"


class UnsupportedSpark(IsolatedEmrError):
    """The installed pyspark is of a version that is not supported."""

    code = "IE104"


class StateRootUnusable(IsolatedEmrError):
    """The directory that holds sessions and jars cannot be written, or is somebody else's."""

    code = "IE105"


class NoSpace(IsolatedEmrError):
    """Too little disk space to start a session."""

    code = "IE106"


class JarsUnavailable(IsolatedEmrError):
    """A jar is neither in the cache nor to be fetched."""

    code = "IE107"


class NoRoom(IsolatedEmrError):
    """Other sessions have the machine's memory or cores, and none ended in the time to wait."""

    code = "IE108"


class TooFewFiles(IsolatedEmrError):
    """The session's processes may open no more files (RLIMIT_NOFILE)."""

    code = "IE109"


class KeeperNotStarted(IsolatedEmrError):
    """The keeper ended, or said nothing, before the environment was ready."""

    code = "IE201"


class KeeperDied(IsolatedEmrError):
    """The keeper ended while the session was using it."""

    code = "IE202"


class EndpointDied(IsolatedEmrError):
    """The private AWS endpoint ended, or could not start."""

    code = "IE203"


class SparkNotStarted(IsolatedEmrError):
    """The Spark JVM ended, or was not ready in time."""

    code = "IE204"


class SparkDied(IsolatedEmrError):
    """The Spark JVM ended while a test was using it."""

    code = "IE205"


class BadRequest(IsolatedEmrError):
    """The keeper got a message that it does not understand (mixed versions in one environment)."""

    code = "IE206"


class UnknownSession(IsolatedEmrError):
    """A command named a run id of which nothing is on this machine."""

    code = "IE301"


class CommandNotFound(IsolatedEmrError):
    """``isolated-emr exec`` was given a command that cannot be started."""

    code = "IE302"


class StepFailed(IsolatedEmrError):
    """A step that ``run_step`` ran did not complete."""

    code = "IE401"


class ClusterFailed(IsolatedEmrError):
    """A cluster that ``make_cluster`` made ended before it was ready, or was not ready in time."""

    code = "IE402"


class StepLogsMissing(IsolatedEmrError):
    """What a step printed was asked for, and is not on S3 (yet)."""

    code = "IE403"


class DockerLibraryMissing(IsolatedEmrError):
    """The docker backend was asked for, and its client library is not installed."""

    code = "IE501"


class EngineUnavailable(IsolatedEmrError):
    """No container engine answers on this machine."""

    code = "IE502"


class EngineForbidden(IsolatedEmrError):
    """There is an engine, and this user may not use it."""

    code = "IE503"


class EngineTooOld(IsolatedEmrError):
    """The engine lacks what is needed."""

    code = "IE504"


class EngineFailed(IsolatedEmrError):
    """The engine refused, or could not do, what was asked of it."""

    code = "IE505"


class ImageUnavailable(IsolatedEmrError):
    """The image is neither here nor to be pulled."""

    code = "IE506"


class ImageUnfit(IsolatedEmrError):
    """The image lacks Python or Java, or has other versions than the client."""

    code = "IE507"


class ContainerEnded(IsolatedEmrError):
    """A container of the session is gone while it was needed."""

    code = "IE508"


class ConnectClientMissing(IsolatedEmrError):
    """PySpark's Connect client cannot be imported, as packages that it needs are not installed."""

    code = "IE509"


class EngineSlow(IsolatedEmrError):
    """The engine did not answer in time; what it was asked for may happen later."""

    code = "IE511"


class NotOverConnect(IsolatedEmrError, AttributeError):
    """Code under test uses what Spark Connect does not have: RDDs, the SparkContext, the JVM."""

    code = "IE510"


class ImageNotBuildable(IsolatedEmrError):
    """``isolated-emr image build`` cannot start: a program, a right or a suite is missing."""

    code = "IE520"


class ImageBuildFailed(IsolatedEmrError):
    """``isolated-emr image build`` failed on its way: packages, disk or engine."""

    code = "IE521"


class NoSessionPort(IsolatedEmrError):
    """An EMR cluster in a container has as many Spark Connect sessions as ports are published."""

    code = "IE530"


class CredentialsUnusable(IsolatedEmrError):
    """AWS credentials are missing, expired or refused, or the role cannot be taken."""

    code = "IE601"


class BucketUnusable(IsolatedEmrError):
    """The bucket of the scratch is missing, another account's, in another region, or not to be written."""

    code = "IE602"


class ClusterRefused(IsolatedEmrError):
    """The cluster that was asked for cannot be had: found out before its launch, or by AWS's answer to it."""

    code = "IE603"


class ClusterNotReady(IsolatedEmrError):
    """The session's cluster ended before it was ready, or was not ready in time."""

    code = "IE604"


class ClusterEnded(IsolatedEmrError):
    """The session's cluster was terminated by somebody else, or failed, while it was needed."""

    code = "IE605"


class LaunchUncertain(IsolatedEmrError):
    """The answer to RunJobFlow was lost, and whether there is a cluster cannot be found out."""

    code = "IE606"


class AwsRefused(IsolatedEmrError):
    """AWS refused a call: a right is missing, or a service does not take it."""

    code = "IE607"


class AwsUnreachable(IsolatedEmrError):
    """AWS did not answer, or with errors of its own or throttling, however often it was asked."""

    code = "IE608"


class LeaseLapsed(IsolatedEmrError):
    """The session's lease was not renewed in time or was taken away, so that the session had to stop."""

    code = "IE609"


class NoSlot(IsolatedEmrError):
    """As many sessions as are allowed run at the same time, and none ended in the time to wait."""

    code = "IE610"


class NoConnectSessions(IsolatedEmrError, AttributeError):
    """The cluster's release has no Spark Connect sessions, and so no Spark for the tests' own process."""

    code = "IE611"


class ConnectSessionFailed(IsolatedEmrError):
    """A Spark Connect session of the cluster did not start, or ended while it was needed."""

    code = "IE612"
