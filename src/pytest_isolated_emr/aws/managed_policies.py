"""The policies that AWS itself made, read when somebody asks for one.

moto reads all of them, more than a thousand, for each of AWS's partitions as soon as it looks for an account: with the first
request of any service.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from moto.iam.models import IAMBackend


class _ReadWhenAsked:
    """An attribute that is made when it is first read, once."""

    def __init__(self, name: str, make: Callable[[Any], Any], lock: Any) -> None:
        self._name = name
        self._make = make
        self._lock = lock

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        # What is in the instance itself comes before this; another thread may just have put it there.
        with self._lock:
            if self._name not in vars(instance):
                vars(instance)[self._name] = self._make(instance)
            return vars(instance)[self._name]


def install() -> None:
    """Have moto's IAM wait with them. Call it once, before the first request."""
    lock = threading.RLock()
    read, begin = IAMBackend._init_aws_policies, IAMBackend.__init__

    @wraps(begin)
    def begin_without(backend: Any, *arguments: Any, **named: Any) -> None:
        begin(backend, *arguments, **named)
        for name in ("aws_managed_policies", "managed_policies"):
            del vars(backend)[name]

    IAMBackend.__init__ = begin_without
    IAMBackend._init_aws_policies = lambda backend: []
    IAMBackend.aws_managed_policies = _ReadWhenAsked("aws_managed_policies", read, lock)
    IAMBackend.managed_policies = _ReadWhenAsked("managed_policies", IAMBackend._init_managed_policies, lock)
