"""The command line of ``spark-submit``: its options, the job, the job's own arguments."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pytest_isolated_emr.emr.commands.s3_files import download, is_remote
from pytest_isolated_emr.spark import properties

#: https://spark.apache.org/docs/latest/submitting-applications.html; those that take no value.
_SWITCHES = frozenset({"--verbose", "-v", "--supervise", "--usage-error"})
_QUESTIONS = frozenset({"--help", "-h", "--version"})
#: Lists of files, and the setting that each is an option for.
_FILES = {
    "--py-files": "spark.submit.pyFiles",
    "--jars": "spark.jars",
    "--files": "spark.files",
    "--archives": "spark.archives",
}
#: Names of YARN for the same.
_YARN_FILES = {
    "spark.yarn.dist.files": "--files",
    "spark.yarn.dist.archives": "--archives",
    "spark.yarn.dist.jars": "--jars",
    "spark.yarn.dist.pyFiles": "--py-files",
}
#: Options about packages, and the setting that each is an option for.
_PACKAGES = {
    "--packages": "spark.jars.packages",
    "--exclude-packages": "spark.jars.excludes",
    "--repositories": "spark.jars.repositories",
}
#: Options that are settings by another name.
_OF_THE_DRIVER = {
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
}
#: What sizes a cluster; one process is the whole of it here.
_OF_A_CLUSTER = frozenset(
    {
        "--num-executors",
        "--executor-cores",
        "--executor-memory",
        "--total-executor-cores",
        "--queue",
        "--driver-cores",
        "--principal",
        "--keytab",
    }
)


@dataclass
class SubmitOptions:
    """A parsed command line.

    :param options: by name, but for those below.
    :param conf: the settings of ``--conf``, without protected ones once they were looked at.
    :param files: lists of files by option.
    :param packages: what options say of packages, by setting; it wins over ``conf``.
    :param driver: what options say of the driver's Java, by setting; it is in ``conf`` too.
    :param primary: the job: a script, a jar, or nothing for ``--class`` of Spark's own.
    :param arguments: the job's.
    :param deploy_mode: ``client`` or ``cluster``, if said.
    :param is_question: whether only help or the version is wanted.
    """

    options: list[str] = field(default_factory=list)
    conf: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    driver: dict[str, str] = field(default_factory=dict)
    primary: str = ""
    arguments: list[str] = field(default_factory=list)
    deploy_mode: str | None = None
    is_question: bool = False

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> SubmitOptions:
        """Read a command line; what is wrong with it, Spark itself says.

        :param arguments: as ``spark-submit`` takes them.
        """
        parsed = cls()
        waiting = list(arguments)
        while waiting:
            argument = waiting.pop(0)
            if not argument.startswith("-"):
                parsed.primary, parsed.arguments = argument, waiting
                break
            name, equals, value = argument.partition("=")
            if name in _QUESTIONS:
                parsed.is_question = True
                parsed.options.append(name)
            elif name in _SWITCHES:
                parsed.options.append(name)
            elif equals or waiting:
                parsed._take(name, value if equals else waiting.pop(0))
            else:
                parsed.options.append(name)
        for key, option in _YARN_FILES.items():
            if key in parsed.conf:
                parsed.files[option] = _listed(parsed.conf.pop(key))
        # To Spark, too, the option wins.
        parsed.conf |= parsed.driver
        return parsed

    def _take(self, name: str, value: str) -> None:
        if name == "--deploy-mode":
            self.deploy_mode = value
        elif name in ("--conf", "-c"):
            key, _, setting = value.partition("=")
            self.conf[key.strip()] = setting.strip()
        elif name in _FILES:
            self.files[name] = _listed(value)
        elif name in _PACKAGES:
            self.packages[_PACKAGES[name]] = value
        elif name in _OF_THE_DRIVER:
            self.driver[_OF_THE_DRIVER[name]] = value
        elif name != "--master" and name not in _OF_A_CLUSTER:
            self.options += [name, value]

    def conf_with_prefix(self, prefix: str, defaults: dict[str, str]) -> dict[str, str]:
        """Return the settings that begin with a prefix, without it.

        :param prefix: such as ``spark.executorEnv.``.
        :param defaults: the cluster's settings.
        """
        settings = {**defaults, **self.conf}
        return {key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix)}

    def use_packages(
        self, resolve: Callable[[dict[str, str]], dict[str, str]], defaults: dict[str, str]
    ) -> None:
        """Have the jars of packages in place of their coordinates, which Spark would resolve by itself.

        :param resolve: makes of settings those with jars in the place of ``spark.jars.packages``.
        :param defaults: the cluster's settings.
        """
        settings = {**defaults, **self.conf, **self.packages}
        if not settings.get("spark.jars.packages", "").strip():
            return
        for option in ("--jars", "--py-files"):
            if option in self.files:
                settings[_FILES[option]] = ",".join(self.files[option])
        resolved = resolve(settings)
        for option in ("--jars", "--py-files"):
            self.files[option] = _listed(resolved.get(_FILES[option], ""))
        for setting in _PACKAGES.values():
            # The cluster's own settings have them still.
            self.conf[setting] = ""

    def localize(self, option: str, staging: Path) -> None:
        """Have the files of an option on the disk.

        :param option: such as ``--files``.
        :param staging: the directory for what comes from S3.
        """
        found = []
        for entry in self.files.get(option, ()):
            path, mark, alias = entry.partition("#")
            if is_remote(path):
                path = str(download(path, staging))
            if "://" in path:
                found.append(entry)
            elif alias and option != "--archives":
                # Spark itself knows another name for an archive alone.
                found.append(str(_under_another_name(Path(path).absolute(), staging / "aliases" / alias)))
            else:
                found.append(f"{Path(path).absolute()}{mark}{alias}")
        if found:
            self.files[option] = found

    def link(self, option: str, working: Path) -> None:
        """Put the files of an option into the working directory by the names that YARN gives them.

        :param option: ``--files``, or ``--archives``, which are unpacked.
        :param working: the directory.
        """
        for entry in self.files.get(option, ()):
            path, _, alias = entry.partition("#")
            source, target = Path(path), working / (alias or Path(path).name)
            if not source.is_file() or source == target:
                continue
            if option == "--archives":
                _unpack(source, target)
            else:
                target.unlink(missing_ok=True)
                target.symlink_to(source)

    def for_spark(self) -> list[str]:
        """Return the command line for Spark's own ``spark-submit``, on the session's Spark."""
        line = list(self.options)
        for key, value in self.conf.items():
            line += ["--conf", f"{key}={value}"]
        for option, entries in filter(lambda item: item[1], self.files.items()):
            line += [option, ",".join(entries)]
        return [*line, *filter(None, [self.primary]), *self.arguments]

    def jvm_settings(self, defaults: dict[str, str]) -> dict[str, str]:
        """Return all settings that the job's JVM starts with.

        :param defaults: the cluster's.
        """
        return properties.merged(defaults, self.conf)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _unpack(archive: Path, target: Path) -> None:
    """Unpack an archive into a directory, as YARN does; another kind of file stays what it is."""
    if target.exists():
        return
    if zipfile.is_zipfile(archive) or tarfile.is_tarfile(archive):
        suffixes = {".tgz": "gztar", ".gz": "gztar", ".tar": "tar"}
        kind = "zip" if zipfile.is_zipfile(archive) else suffixes.get(archive.suffix, "gztar")
        shutil.unpack_archive(archive, target, kind)
    else:
        target.symlink_to(archive)


def _under_another_name(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(source)
    return target
