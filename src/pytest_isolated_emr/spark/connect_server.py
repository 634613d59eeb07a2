"""Becomes the Spark Connect server of a container. It runs in the container, by the image's own Python.

``python -I -c "…" DIRECTORY``: the directory has ``server.json``, which says what to start, and takes the settings.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pytest_isolated_emr.spark import launch, properties

_CLASS = "org.apache.spark.sql.connect.service.SparkConnectServer"
_CLASS_PATH = "spark.driver.extraClassPath"


def main() -> None:
    """Serve; does not return."""
    directory = Path(sys.argv[1])
    server = json.loads((directory / "server.json").read_text(encoding="utf-8"))
    home = Path(server["spark_home"])
    settings = _with_settings_of_image(home, server["settings"])
    conf = directory / "conf"
    # Not on the command line: there are secrets among them.
    properties.write(conf / "spark-defaults.conf", settings)
    environ = {**os.environ, **launch.script_variables(home), "SPARK_CONF_DIR": str(conf)}
    arguments = ("--class", _CLASS, "spark-internal")
    printed = subprocess.run(
        launch.launcher_command(home, environ, arguments),
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )
    if printed.returncode != 0:
        # Its own words are on standard error already.
        sys.exit(printed.returncode)
    command = launch.jvm_command(printed.stdout, conf)
    os.execve(command[0], command, environ)


def _with_settings_of_image(home: Path, settings: dict[str, str]) -> dict[str, str]:
    """Return the settings over those that the image's own Spark has: an EMR image has class paths there."""
    file = home / "conf" / "spark-defaults.conf"
    if not file.is_file():
        return settings
    of_image, _left_out = properties.split_protected(properties.read(file))
    paths = [settings.get(_CLASS_PATH, ""), of_image.get(_CLASS_PATH, "")]
    return {**of_image, **settings, _CLASS_PATH: os.pathsep.join(filter(None, paths))}
