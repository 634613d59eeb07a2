"""Variables of the environment that requests and jobs ask for, without those that are not theirs to set."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pytest_isolated_emr.emr.instance_values import is_emr_python

#: Where Java and Spark are is the machine's matter; by AWS's variables, which the AWS clients of JVMs are led by too, a
#: command would lead out of the session.
_NOT_THEIRS = re.compile(
    r"(JAVA|SPARK|HADOOP)_HOME|(SPARK|HADOOP)_CONF_DIR|PATH|AWS_(?!(DEFAULT_)?REGION$).*|ISOLATED_EMR_.*"
)
_PYTHONS = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")


def split(asked: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Part variables into those that hold, and the names of those that are left out.

    The interpreter of EMR's instances is in neither: the session's own stands for it, and nobody needs to hear of that.

    :param asked: the variables.
    """
    held = {
        name: value
        for name, value in asked.items()
        if not _NOT_THEIRS.fullmatch(name) and not (name in _PYTHONS and is_emr_python(value))
    }
    return held, [name for name in asked if _NOT_THEIRS.fullmatch(name)]
