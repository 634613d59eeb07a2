"""What a test may see of the machine's AWS settings: the session's own, under the names that the user's have."""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

from pytest_isolated_emr.aws.credentials import SessionCredentials

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class AwsEnvironment:
    """The AWS settings that a session shows in place of the machine's.

    :param credentials: the session's.
    :param endpoint_url: where its endpoint is.
    :param directory: takes the files of profiles; it is made.
    :param environ: the user's own environment.
    """

    def __init__(
        self,
        credentials: SessionCredentials,
        endpoint_url: str,
        directory: Path,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._credentials = credentials
        self._endpoint_url = endpoint_url
        self._directory = directory
        self._environ = dict(environ)

    def variables(self) -> dict[str, str]:
        """Write the files of profiles, and return the variables that show the session."""
        self._write_profiles()
        key, region = self._credentials, self._credentials.region
        variables = {
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            # The metadata service of the machine, if it is one of AWS's, would hand out its role's keys.
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self._directory / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._directory / "credentials"),
            "DUCKDB_S3_ENDPOINT": self._endpoint_url.partition("://")[2],
            "DUCKDB_S3_USE_SSL": "false",
        }
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            # The files have a profile of that name.
            if name in self._environ:
                variables[name] = self._environ[name]
        for name in ("NO_PROXY", "no_proxy"):
            present = [host for host in self._environ.get(name, "").split(",") if host]
            variables[name] = ",".join(dict.fromkeys([*present, *_LOOPBACK]))
        return variables

    def _write_profiles(self) -> None:
        self._directory.mkdir(mode=0o700, exist_ok=True)
        key = self._credentials
        lines = {
            "config": (f"region = {key.region}",),
            "credentials": (
                f"aws_access_key_id = {key.access_key_id}",
                f"aws_secret_access_key = {key.secret_access_key}",
            ),
        }
        for name, settings in lines.items():
            descriptor = os.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                for profile in self._profiles():
                    title = f"profile {profile}" if name == "config" and profile != "default" else profile
                    file.write("\n".join((f"[{title}]", *settings, "", "")))

    def _profiles(self) -> list[str]:
        home = Path(self._environ.get("HOME") or Path.home())
        files = (
            self._environ.get("AWS_CONFIG_FILE") or home / ".aws" / "config",
            self._environ.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials",
        )
        names = {"default", *(self._environ.get(name, "default") for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"))}
        for file in files:
            names.update(_profile_names(Path(file).expanduser()))
        return sorted(name for name in names if name and "\n" not in name and "]" not in name)


def _profile_names(file: Path) -> set[str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(file.read_text(encoding="utf-8", errors="replace"))
    except (OSError, configparser.Error):
        # What cannot be read defines no profile that a client could use.
        return set()
    names = set()
    for section in parser.sections():
        kind, _, rest = section.strip().partition(" ")
        if kind == "profile":
            names.add(rest.strip().strip("\"'"))
        elif not rest:
            names.add(section.strip())
    return names
