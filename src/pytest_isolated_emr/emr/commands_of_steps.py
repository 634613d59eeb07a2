"""What a step or a bootstrap action runs: the program and its arguments, with its files fetched from S3."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pytest_isolated_emr.emr import objects
from pytest_isolated_emr.emr.programs import is_hadoop_streaming, is_s3_dist_cp
from pytest_isolated_emr.emr.steps import Step

_COMMAND_RUNNER = re.compile(r"(.*/)?command-runner\.jar")
#: ``s3://REGION.elasticmapreduce/libs/script-runner/script-runner.jar``
_SCRIPT_RUNNER = re.compile(r"(.*/)?script-runner\.jar")

#: ``s3://REGION.elasticmapreduce/bootstrap-actions/run-if``
_RUN_IF = re.compile(r"s3://(.+\.)?elasticmapreduce/bootstrap-actions/run-if")
_HOLDING_CONDITIONS = ("instance.isMaster=true", "instance.isRunningNameNode=true")


class NotRunnable(Exception):
    """A step that cannot even be started; the text is what its log says."""


def command_of_step(step: Step, directory: Path, program_of: Callable[[str], str]) -> list[str]:
    """Return what a step runs.

    :param step: the step.
    :param directory: its working directory, for what is fetched.
    :param program_of: returns what the first word of a command means on the cluster.
    :raises NotRunnable: its jar or script is not there.
    """
    if _COMMAND_RUNNER.fullmatch(step.jar):
        if not step.args:
            raise NotRunnable(
                'Exception in thread "main" java.lang.RuntimeException: command-runner.jar needs a command'
            )
        return [program_of(step.args[0]), *step.args[1:]]
    if _SCRIPT_RUNNER.fullmatch(step.jar):
        if not step.args:
            raise NotRunnable(
                'Exception in thread "main" java.lang.RuntimeException: script-runner.jar needs the path of a script'
            )
        return [*command_of_script(step.args[0], directory), *step.args[1:]]
    if is_s3_dist_cp(step.jar):
        return ["s3-dist-cp", *step.args]
    if is_hadoop_streaming(step.jar) and not objects.is_object(step.jar):
        return ["hadoop-streaming", *step.args]
    jar = fetched(step.jar, directory)
    options = [f"-D{key}={value}" for key, value in step.java_properties.items()]
    main_class = [step.main_class] if step.main_class else []
    return ["hadoop", *options, "jar", str(jar), *main_class, *step.args]


def command_of_bootstrap_action(path: str, arguments: Sequence[str], directory: Path) -> list[str]:
    """Return what a bootstrap action runs.

    Amazon's own ``run-if`` runs a command where a condition holds; there is one instance here, the master
    (EMR Management Guide, "Create bootstrap actions to install additional software").

    :param path: its script.
    :param arguments: the script's.
    :param directory: where a copy is made.
    :raises NotRunnable: a script is not there.
    """
    if not _RUN_IF.fullmatch(path) or len(arguments) < 2:
        return [*command_of_script(path, directory), *arguments]
    condition, command, *rest = arguments
    if condition not in _HOLDING_CONDITIONS:
        return ["true"]
    if objects.is_object(command):
        return [*command_of_script(command, directory), *rest]
    return ["bash", "-c", " ".join([command, *rest])]


def command_of_script(path: str, directory: Path) -> list[str]:
    """Return what runs a script of S3's, or of this machine's.

    :param path: its URL or path.
    :param directory: where a copy is made.
    :raises NotRunnable: it is not there.
    """
    script = fetched(path, directory)
    if script.is_relative_to(directory):
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    with script.open("rb") as file:
        names_its_interpreter = file.read(4).startswith((b"#!", b"\x7fELF"))
    # As Java starts a program that the system cannot.
    return [str(script)] if names_its_interpreter else ["/bin/sh", str(script)]


def fetched(path: str, directory: Path) -> Path:
    """Return a file of S3's, or of this machine's, as a file.

    :param path: its URL or path.
    :param directory: where a copy is made.
    :raises NotRunnable: it is not there.
    """
    if objects.is_object(path):
        target = directory / path.rstrip("/").rpartition("/")[2]
        try:
            objects.download(path, target)
        except (objects.NoSuchObject, OSError) as error:
            raise NotRunnable(str(error)) from error
    else:
        # file:///path and file:/path are the same.
        target = Path(urlsplit(path).path if path.startswith("file:") else path)
        if not target.is_file():
            raise NotRunnable(f"{path} (No such file or directory)")
    return target
