"""What Spark Connect does not have: it is said so, with the choice that there is, where PySpark's own words are others."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from pytest_isolated_emr import errors

_BY_CLASS = {
    "SparkSession": ("_jsc", "_jconf", "_jvm", "_jsparkSession", "_sc", "sparkContext"),
    "DataFrame": ("_jdf", "_jseq", "_jmap", "_jcols", "rdd"),
    "Column": ("_jc",),
}


class NotThere:
    """Says so, in words for where Spark is.

    :param place: where that is, and so what there is not.
    :param cure: what the user can do.
    """

    def __init__(self, place: str, cure: str) -> None:
        self._place = place
        self._cure = cure

    def say_so(self, kind: Any, patches: pytest.MonkeyPatch) -> None:
        """Have a class of PySpark's Connect client say so.

        :param kind: the class.
        :param patches: takes what is to be put back.
        """
        names = _BY_CLASS[kind.__name__]
        original = getattr(kind, "__getattr__", object.__getattribute__)

        def get(instance: Any, name: str) -> Any:
            if name in names:
                raise self._error(f"{kind.__name__}.{name}")
            return original(instance, name)

        patches.setattr(kind, "__getattr__", get, raising=False)
        for name in names:
            if hasattr(kind, name):
                # A property that says so in other words; an AttributeError leads from here to the one above.
                patches.setattr(kind, name, property(lambda _instance: self.no_jvm()))

    def no_jvm(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        """Take the place of what would start a JVM.

        :raises NotOverConnect: always.
        """
        raise self._error("SparkContext")

    def _error(self, name: str) -> errors.NotOverConnect:
        return errors.NotOverConnect(
            f"{name} does not exist over Spark Connect.", checked=self._place, cure=self._cure
        )
