"""The settings in PYSPARK_SUBMIT_ARGS, by which suites ask for packages and memory."""

from __future__ import annotations

import argparse
import shlex

# https://spark.apache.org/docs/latest/submitting-applications.html: the option and the setting it stands for.
_SETTINGS = {
    "--master": "spark.master",
    "--name": "spark.app.name",
    "--packages": "spark.jars.packages",
    "--exclude-packages": "spark.jars.excludes",
    "--repositories": "spark.jars.repositories",
    "--jars": "spark.jars",
    "--py-files": "spark.submit.pyFiles",
    "--files": "spark.files",
    "--archives": "spark.archives",
    "--driver-memory": "spark.driver.memory",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--executor-memory": "spark.executor.memory",
}


def submit_settings(arguments: str) -> dict[str, str]:
    """Return the settings that spark-submit's arguments stand for; what it does not know is left out.

    :param arguments: the variable's value, such as ``--packages a:b:1 --conf x=y pyspark-shell``.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--conf", "-c", action="append", default=[])
    for option, setting in _SETTINGS.items():
        parser.add_argument(option, dest=setting)
    known, _rest = parser.parse_known_args(shlex.split(arguments))
    named = vars(known)
    settings = dict(pair.partition("=")[::2] for pair in named.pop("conf"))
    # As with spark-submit, an option of its own wins over --conf.
    return settings | {key: value for key, value in named.items() if value is not None}
