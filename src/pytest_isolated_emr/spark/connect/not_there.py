"""What Spark Connect does not have: it is said so, with the choice that there is, where PySpark's own words are others."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_isolated_emr import errors

_BY_CLASS = {
    "SparkSession": ("_jsc", "_jconf", "_jvm", "_jsparkSession", "_sc", "sparkContext"),
    "DataFrame": ("_jdf", "_jseq", "_jmap", "_jcols", "rdd"),
    "Column": ("_jc",),
}


def say_so(kind: Any, patches: pytest.MonkeyPatch) -> None:
    """Have a class of PySpark's Connect client say so.

    :param kind: the class.
    :param patches: takes what is to be put back.
    """
    names = _BY_CLASS[kind.__name__]
    original = getattr(kind, "__getattr__", object.__getattribute__)

    def get(instance: Any, name: str) -> Any:
        if name in names:
            raise _not_over_connect(f"{kind.__name__}.{name}")
        return original(instance, name)

    patches.setattr(kind, "__getattr__", get, raising=False)
    for name in names:
        if hasattr(kind, name):
            # A property that says so in other words; an AttributeError leads from here to the one above.
            patches.setattr(kind, name, property(lambda _instance: no_jvm()))


def no_jvm(*_args: Any, **_kwargs: Any) -> Any:
    """Take the place of what would start a JVM.

    :raises NotOverConnect: always.
    """
    raise _not_over_connect("SparkContext")


def _not_over_connect(name: str) -> errors.NotOverConnect:
    return errors.NotOverConnect(
        f"{name} does not exist over Spark Connect.",
        checked="the session's Spark runs in a container, where PySpark has no JVM at hand: no RDDs, no SparkContext",
        cure="Use DataFrames, or run these tests with --isolated-emr-backend=local.",
    )
