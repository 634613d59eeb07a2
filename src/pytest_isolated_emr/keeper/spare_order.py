"""What a spare is to be: the session that ordered it as it was at its start, without what was that session's alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pytest_isolated_emr.keeper.messages import Message
from pytest_isolated_emr.spark.environment import holds_secret, is_of_jvm
from pytest_isolated_emr.spark.named_files import stamps

# What the keeper, the endpoint and each JVM take, in bytes.
_BYTES, _BYTES_OF_SPARK = 256 << 20, 768 << 20

#: Part of what describes a session to its clients.
_OWN = ("directory", "run_id", "endpoint_url", "access_key_id", "secret_access_key", "basetemp")
#: The session's own, whatever the user's environment has.
_AWS = "AWS_"
_READ_IN_JVM = ("ISOLATED_EMR_REDIRECT",)
# They make a JVM quick, and change nothing else: an archive of classes may have come since.
_QUICK_OPTIONS = re.compile(r"-XX:SharedArchiveFile=\S+|-Disolatedemr\.preload=\S+")


class SparkOrders:
    """Turns what one session's Sparks are started with into what any session's would be, and back.

    :param described: the session as its clients know it.
    """

    def __init__(self, described: Mapping[str, Any]) -> None:
        # The directory's name has the run id in it, so the order matters.
        self._own = [(described[name], _placeholder(name)) for name in _OWN if described.get(name)]

    def order(self, request: Message) -> Message:
        """Return a request for a Spark without what is the session's own, and with no more of the environment than a JVM
        needs at its start.

        :param request: as the client sent it.
        """
        environ = {
            name: value
            for name, value in request["environ"].items()
            if is_of_jvm(name) or name.startswith(_AWS) or name in _READ_IN_JVM
        }
        kept = {name: request[name] for name in ("cwd", "spark_home", "timeout", "files")}
        properties = request["properties"]
        made: Message = self._replace({**kept, "properties": properties, "environ": environ}, 0, 1)
        # Its own directory's are made anew, and what is in there is made of the settings.
        named = stamps([made["properties"], made["environ"]], Path(request["cwd"]))
        return {**made, "named files": named}

    def request(self, order: Message) -> Message:
        """Return what :meth:`order` was made of, as this session's.

        :param order: of another session.
        """
        made: Message = self._replace({name: order[name] for name in order if name != "named files"}, 1, 0)
        return made

    def differences(self, order: Message, request: Message) -> list[str]:
        """Return by what a Spark that was started by an order is not what a client asks for: names of settings and
        variables, without their values.

        :param order: by which it was started.
        :param request: as the client sent it.
        """
        found = []
        have, want = _without_quick_options(order), _without_quick_options(self.order(request))
        for part, value in want.items():
            if isinstance(value, dict):
                names = sorted(have[part].keys() | value.keys())
                found += [f"{part} {name}" for name in names if have[part].get(name) != value.get(name)]
            elif have[part] != value:
                found.append(part)
        return found

    def _replace(self, value: Any, old: int, new: int) -> Any:
        if isinstance(value, str):
            for pair in self._own:
                value = value.replace(pair[old], pair[new])
            return value
        if isinstance(value, list):
            return [self._replace(each, old, new) for each in value]
        if isinstance(value, dict):
            return {name: self._replace(each, old, new) for name, each in value.items()}
        return value


@dataclass(frozen=True)
class SpareOrder:
    """What the next session of a key will want.

    :param key: of :func:`pytest_isolated_emr.spare_key.spare_key`.
    :param idle_seconds: how long the spare waits for it.
    :param opening: the session's opening, without what each session says anew.
    :param sparks: how the Spark of each worker is started, of :meth:`SparkOrders.order`.
    :param basetemp: the directory of temporary files that the session had which ordered it; empty for none.
    """

    key: str
    idle_seconds: float
    opening: Message
    sparks: dict[str, Message] = field(repr=False)
    basetemp: str = ""

    def to_json(self) -> bytes:
        """Return it as one line."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, line: bytes) -> SpareOrder:
        """Read what :meth:`to_json` gave."""
        return cls(**json.loads(line))

    @property
    def has_temporary_files(self) -> bool:
        """Whether a Spark has to see the directory of temporary files from its start on."""
        return _placeholder("basetemp") in json.dumps(self.sparks)

    def memory(self) -> int:
        """Return what it takes, in bytes."""
        return _BYTES + _BYTES_OF_SPARK * len(self.sparks)

    def secrets(self) -> list[str]:
        """Return the names of settings and variables that sound like a user's secrets: no spare may keep them."""
        found = []
        for order in self.sparks.values():
            both = [*order["properties"].items(), *order["environ"].items()]
            found += [name for name, value in both if holds_secret(name, value) and not _is_own(name, value)]
        return sorted(set(found))


def _placeholder(name: str) -> str:
    return f"{{isolated-emr:{name}}}"


def _is_own(name: str, value: str) -> bool:
    # The session's keys, files in its directory, and the name of a class.
    return value.startswith("{isolated-emr:") or name == "spark.hadoop.fs.s3a.aws.credentials.provider"


def _without_quick_options(order: Message) -> Message:
    properties = {
        name: " ".join(_QUICK_OPTIONS.sub("", value).split()) if name.endswith("JavaOptions") else value
        for name, value in order["properties"].items()
    }
    # The archive has its own check.
    files = {name: stamp for name, stamp in order["named files"].items() if not name.endswith(".jsa")}
    return {**order, "properties": properties, "named files": files}
