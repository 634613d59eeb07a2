"""What a keeper answers on Spark Connect, by calls to the EMR that boto3 reaches: a client's own end is what is tested."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import struct
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3

_READY, _ENDED = ("IDLE", "BUSY"), ("TERMINATED", "FAILED")


class StandInKeeper:
    """Has one cluster, and on it one session at a time.

    :param cluster: the cluster's id.
    :param home: the root of the session whose EMR this is.
    """

    def __init__(self, cluster: str, home: str) -> None:
        self.cluster = cluster
        self.emr = boto3.client("emr")
        #: All that was asked of it: the operation and its fields.
        self.asked: list[tuple[str, dict[str, Any]]] = []
        #: How long its tokens last, in seconds; EMR's own time without one.
        self.token_seconds: float | None = None
        self._home = Path(home)
        self._session = ""

    def count(self, op: str) -> int:
        return [name for name, _ in self.asked].count(op)

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        self.asked.append((op, fields))
        answer: dict[str, Any] = getattr(self, f"_{op}")(**fields)
        return answer

    def _start_spark(self, properties: dict[str, str]) -> dict[str, Any]:
        self._end_spark()
        configuration = {"Classification": "spark-defaults", "Properties": properties}
        started = self.emr.start_session(
            ClusterId=self.cluster, Name="tests", EngineConfigurations=[configuration]
        )
        self._session = started["Id"]
        return {}

    def _spark_gateway(self) -> dict[str, Any]:
        deadline = time.monotonic() + 180
        while (described := self._described())["State"] not in _READY:
            assert described["State"] not in _ENDED, described
            assert time.monotonic() < deadline, described
            time.sleep(0.05)
        return self._access()

    def _access(self) -> dict[str, Any]:
        answer = self.emr.get_session_endpoint(ClusterId=self.cluster, SessionId=self._session)
        token, expires = answer["AuthToken"], answer["AuthTokenExpirationTime"].timestamp()
        if self.token_seconds is not None:
            expires = time.time() + self.token_seconds
            token = self._signed(expires)
        endpoint = urlsplit(answer["Endpoint"])
        where = f"sc://{endpoint.hostname}:{endpoint.port}"
        return {
            "url": f"{where}/;x-aws-proxy-auth={token};authorization={self._session}",
            "expires": expires,
        }

    def _spark_status(self) -> dict[str, Any]:
        described = self._described()
        alive = described["State"] not in _ENDED
        return {"alive": alive, "exit": "" if alive else described["State"], "log": "", "note": ""}

    def _end_spark(self) -> dict[str, Any]:
        if self._session:
            self.emr.terminate_session(ClusterId=self.cluster, SessionId=self._session)
            self._session = ""
        return {}

    def _described(self) -> dict[str, Any]:
        answer = self.emr.get_session(ClusterId=self.cluster, SessionId=self._session)
        return dict(answer["Session"])

    def _signed(self, expires: float) -> str:
        [directory] = self._home.glob(f"sessions/*/clusters/{self.cluster}/sessions/{self._session}")
        content = struct.pack(">q", int(expires * 1000)) + os.urandom(16)
        token = content + hmac.new((directory / "key").read_bytes(), content, hashlib.sha256).digest()
        return "v2.local." + base64.urlsafe_b64encode(token).rstrip(b"=").decode()
