"""What is done to PySpark in a step's driver: the same as in the tests' own process, see ``spark.runtime``.

It runs in whatever Python a step has: what it imports, imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from functools import wraps
from pathlib import Path
from typing import Any

from pytest_isolated_emr.emr.cluster_directory import DIRECTORY_VARIABLE, SPARK_FILE
from pytest_isolated_emr.spark import quick_imports, user_settings


def patch_session(module: Any) -> None:
    """Have ``getOrCreate`` leave out what would lead out of the session.

    :param module: ``pyspark.sql.session``.
    """
    builder_class = module.SparkSession.Builder
    original = builder_class.getOrCreate

    @wraps(original)
    def get_or_create(builder: Any) -> Any:
        _say(user_settings.leave_out(builder._options))
        return original(builder)

    builder_class.getOrCreate = get_or_create


def patch_context(module: Any) -> None:
    """Have a new context settled the same way.

    :param module: PySpark's module of ``SparkContext``.
    """
    original = module.SparkContext._initialize_context

    @wraps(original)
    def initialize_context(context: Any, jconf: Any) -> Any:
        _say(user_settings.settle(jconf, _of_the_cluster()))
        context.master = jconf.get("spark.master")
        return original(context, jconf)

    module.SparkContext._initialize_context = initialize_context
    _patch_first_call(module.SparkContext)


def _patch_first_call(context_class: Any) -> None:
    """Have PySpark's first call to the JVM import less, once there is one."""
    original = context_class._ensure_initialized.__func__

    @wraps(original)
    def ensure_initialized(owner: Any, instance: Any = None, gateway: Any = None, conf: Any = None) -> None:
        if context_class._gateway is None:
            quick_imports.install(setattr)
        original(owner, instance, gateway, conf)

    context_class._ensure_initialized = classmethod(ensure_initialized)


def _of_the_cluster() -> dict[str, str]:
    described = Path(os.environ[DIRECTORY_VARIABLE], SPARK_FILE).read_text(encoding="utf-8")
    settings: dict[str, str] = json.loads(described)["properties"]
    return settings


def _say(left_out: Iterable[str]) -> None:
    for key in left_out:
        # YARN is what every job names; nobody needs to hear of that.
        if key != "spark.master":
            print(
                f"isolated-emr: {key}: set in the job's code, left out, as it would lead out of the session",
                file=sys.stderr,
            )
