"""What a test may see of the machine's AWS settings: the session's key, under the machine's profile names."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .credentials import SessionCredentials
from .waiters import write_quick_waiters

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SECTION = re.compile(r"\s*\[(?P<title>[^\]]+)\]")

#: Sections of a config file that are no profiles (AWS SDKs and Tools reference, "Shared config and
#: credentials files").
_OTHER_SECTIONS = ("sso-session", "services", "plugins")


class AwsEnvironment:
    """The variables and files by which AWS clients find the session instead of the machine's account.

    :param credentials: the session's.
    :param endpoint_url: where its private endpoint is.
    :param directory: for the config and credentials files; made, for its owner only, if it is not there.
    :param machine: the variables as the user has them.
    """

    def __init__(
        self,
        credentials: SessionCredentials,
        endpoint_url: str,
        directory: Path,
        machine: Mapping[str, str] = os.environ,
    ) -> None:
        self._machine = machine
        self._credentials = credentials
        self._endpoint_url = endpoint_url
        self._directory = directory

    @staticmethod
    def drops(name: str) -> bool:
        """Tell whether a test must not see a variable of the machine's environment.

        :param name: the variable's name.
        """
        return name.startswith("AWS_")

    def variables(self) -> dict[str, str]:
        """Write the files and return the variables.

        The names are those of the AWS SDKs and Tools reference, "Settings reference", but for the ones with a
        comment.
        """
        machine = self._machine
        config, credentials = self._write_files(profile_names(machine))
        write_quick_waiters(self._directory / "data")
        port = urlsplit(self._endpoint_url).port
        variables = {
            "AWS_ENDPOINT_URL": self._endpoint_url,
            "AWS_ACCESS_KEY_ID": self._credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self._credentials.secret_access_key,
            "AWS_REGION": self._credentials.region,
            "AWS_DEFAULT_REGION": self._credentials.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(config),
            "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
            # The Rust object store of delta-rs and others refuses plain HTTP without it.
            "AWS_ALLOW_HTTP": "true",
            # DuckDB's httpfs knows no variable for path style and asks for BUCKET.HOST. The HTTP library that
            # it has takes every name under "localhost" for this machine.
            "DUCKDB_S3_ENDPOINT": f"localhost:{port}",
            "DUCKDB_S3_USE_SSL": "false",
        }
        return variables | chosen_profile(machine) | without_proxy(machine)

    def _write_files(self, profiles: Iterable[str]) -> tuple[Path, Path]:
        config, credentials = self._directory / "config", self._directory / "credentials"
        keys = (
            f"aws_access_key_id = {self._credentials.access_key_id}\n"
            f"aws_secret_access_key = {self._credentials.secret_access_key}\n"
        )
        # Not the variable AWS_DATA_PATH: with it boto3 no longer says at once that a profile is missing.
        data = os.pathsep.join(
            filter(None, [str(self._directory / "data"), self._machine.get("AWS_DATA_PATH")])
        )
        config_text, credentials_text = "", ""
        for profile in profiles:
            config_text += (
                f"{config_section(profile)}region = {self._credentials.region}\ndata_path = {data}\n"
            )
            credentials_text += f"[{profile}]\n{keys}"
        write_settings(config, config_text)
        write_settings(credentials, credentials_text)
        return config, credentials


def profile_names(machine: Mapping[str, str]) -> list[str]:
    """Return the names of the profiles that the user has, ``default`` first.

    Only the names: a role, a single sign-on, an endpoint or a command that gets credentials would lead out of
    the session.

    :param machine: the variables as the user has them.
    """
    home = Path(machine.get("HOME") or Path.home()) / ".aws"
    names = {"default"}
    names |= set(_sections(Path(machine.get("AWS_CONFIG_FILE") or home / "config")))
    names |= set(_sections(Path(machine.get("AWS_SHARED_CREDENTIALS_FILE") or home / "credentials")))
    names |= {machine[name] for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if machine.get(name)}
    usable = {name for name in names if not re.search(r"[\]\r\n]", name)}
    return ["default", *sorted(usable - {"default"})]


def _sections(path: Path) -> Iterable[str]:
    """Yield the profiles of one file; a parser would give up at the first odd line."""
    try:
        text = path.expanduser().read_text(encoding="utf-8", errors="replace")
    except (OSError, RuntimeError):
        # Missing, unreadable, a directory, or below a home that is not known: then it names no profile.
        return
    for line in text.splitlines():
        if (section := _SECTION.match(line)) and (name := _profile(section["title"].strip())):
            yield name


def _profile(title: str) -> str | None:
    kind, _, rest = title.partition(" ")
    if kind in _OTHER_SECTIONS:
        return None
    if kind != "profile" or not rest.strip():
        return title
    try:
        return " ".join(shlex.split(rest))
    except ValueError:
        return rest.strip()


def config_section(profile: str) -> str:
    """Return the line that begins a profile in a config file.

    :param profile: its name.
    """
    title = profile if profile == "default" else f"profile {shlex.quote(profile)}"
    return f"[{title}]\n"


def chosen_profile(machine: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which the user chose a profile.

    :param machine: the variables as the user has them.
    """
    return {name: machine[name] for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE") if machine.get(name)}


def without_profiles(environ: Mapping[str, str]) -> dict[str, str]:
    """Return a session's variables for a process that runs before the files with its profiles are there.

    :param environ: the variables.
    """
    profiles = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    return {name: value for name, value in environ.items() if name not in profiles}


def without_proxy(machine: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which no proxy comes between this machine's processes.

    :param machine: the variables as the user has them.
    """
    return {
        name: _without_proxy(machine.get(name) or machine.get(name.swapcase()) or "")
        for name in ("NO_PROXY", "no_proxy")
    }


def _without_proxy(existing: str) -> str:
    # A lone star switches proxies off altogether; beside other names it is none of them.
    if existing.strip() == "*":
        return existing
    hosts = [host.strip() for host in existing.split(",") if host.strip()]
    return ",".join([*hosts, *(host for host in _LOOPBACK if host not in hosts)])


def write_settings(path: Path, text: str) -> None:
    """Write a file of AWS settings for its owner only, over an earlier one; its directory is made.

    :param path: the file.
    :param text: what is in it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.chmod(0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
