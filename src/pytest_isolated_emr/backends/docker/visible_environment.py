"""The variables that a container gets of those that its Spark or its commands would have on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping

#: What names places, programs and terminals of this machine; the image has its own.
_OF_THIS_MACHINE = re.compile(
    r"""
      PATH | HOME | PWD | OLDPWD | SHELL | SHLVL | USER | LOGNAME | HOSTNAME | TMPDIR | _ | LD_.* | DYLD_.*
    | JAVA_HOME | SPARK_HOME | SPARK_ENV_LOADED | SPARK_SCALA_VERSION | SPARK_LOCAL_DIRS | HADOOP_HOME
    | PYSPARK_.*PYTHON | PYTHONPATH | PYTHONHOME | PYTHONUSERBASE | VIRTUAL_ENV | CONDA_.* | PYENV.*
    | SSH_.* | XDG_.* | DBUS_.* | DISPLAY | TERM.* | DOCKER_.* | TESTCONTAINERS_.* | PYTEST_.* | COV_CORE_.*
    | SPARK_REMOTE | SPARK_CONNECT_MODE_ENABLED | ISOLATED_EMR_USER_SPARK_CONF_DIR
    # A proxy of this machine's is in a network that a container does not reach.
    | (http|https|all|no)_proxy
    """,
    re.VERBOSE | re.IGNORECASE,
)


def visible_environment(environ: Mapping[str, str], urls: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that a container gets.

    :param environ: as they are on this machine.
    :param urls: what is at an address of this machine that containers do not reach, and where they reach it.
    """
    held = {name: value for name, value in environ.items() if not _OF_THIS_MACHINE.fullmatch(name)}
    return replaced(held, urls)


def replaced(values: Mapping[str, str], urls: Mapping[str, str]) -> dict[str, str]:
    """Return settings or variables with URLs as containers have them.

    :param values: the settings.
    :param urls: URLs on this machine, and those to put in their place.
    """
    result = dict(values)
    for here, there in urls.items():
        result = {name: value.replace(here, there) for name, value in result.items()}
    return result
