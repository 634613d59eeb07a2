"""An image of a Debian system: into the engine untagged, tried, and only then given its name.

The engine's API: https://docs.docker.com/reference/api/engine/ (``POST /images/create`` with ``fromSrc=-``).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain

import docker
import docker.errors
import docker.utils
import requests

from pytest_isolated_emr.backends.docker.debian import Say, Suite, debian_system
from pytest_isolated_emr.errors import ImageBuildFailed, ImageNotBuildable

#: The labels of an image that was built here.
MADE_BY_LABEL = "isolated-emr.made-by"
SUITE_LABEL = "isolated-emr.suite"
PYTHON_LABEL = "isolated-emr.python"
JAVA_LABEL = "isolated-emr.java"
_BUILD_LABEL = "isolated-emr.build"

_JAVA_HOME = "/usr/lib/jvm/default-java"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Seconds that the first container of the image has.
_TRIAL_TIMEOUT = 120
# What is run in it: what a suite of tests needs at least, and the exact versions.
_TRIAL = """\
import bz2, ctypes, json, lzma, os, platform, re, sqlite3, ssl, subprocess, venv, zlib, zoneinfo
zoneinfo.ZoneInfo("Europe/Paris")
subprocess.run(["ps", "-p", "1"], check=True, capture_output=True)
java = subprocess.run([os.environ["JAVA_HOME"] + "/bin/java", "-version"], check=True, capture_output=True, text=True)
print(json.dumps({"python": platform.python_version(), "java": re.search('version "([^"]+)"', java.stderr)[1]}))
"""


@dataclass(frozen=True)
class Image:
    """An image of the engine.

    :param tag: its name, with the tag.
    :param description: what is in it, for people.
    """

    tag: str
    description: str


def find_image(client: docker.DockerClient, tag: str) -> Image | None:
    """Return the image that has a tag already.

    :param client: of the engine.
    :param tag: ``name:tag``.
    :raises ImageNotBuildable: if that is no name that an image can have.
    :raises ImageBuildFailed: if the engine fails.
    """
    with _engine("looking for the image"):
        try:
            found = client.images.get(tag)
        except docker.errors.ImageNotFound:
            return None
        except docker.errors.APIError as error:
            if error.status_code != 400:
                raise
            raise ImageNotBuildable(
                f"{tag!r} is no name for an image.",
                checked=f"--tag, which the engine refuses: {error.explanation}",
                cure="Give a name in lower case, such as isolated-emr:python3.11.",
            ) from error
    labels = found.labels
    size = f"{found.attrs['Size'] / 1e6:.0f} MB"
    if MADE_BY_LABEL not in labels:
        return Image(tag, f"{size}, made by somebody else")
    return Image(
        tag,
        f"Debian {labels[SUITE_LABEL]}, Python {labels[PYTHON_LABEL]}, Java {labels[JAVA_LABEL]}, {size}, made {found.attrs['Created']}",
    )


def build_image(
    client: docker.DockerClient, suite: Suite, tag: str, *, mirrors: Sequence[str], say: Say
) -> Image:
    """Build an image of a Debian suite and give it a tag, which another image may have lost by that.

    The tag is set last. Whatever fails before leaves no image, no container and no file.

    :param client: of the engine.
    :param suite: of which.
    :param tag: ``name:tag``.
    :param mirrors: as mmdebstrap takes them, none for the usual ones.
    :param say: told what is done.
    :raises ImageNotBuildable: if the build cannot start.
    :raises ImageBuildFailed: if it fails on its way.
    """
    started = time.monotonic()
    build = secrets.token_hex(16)
    try:
        with debian_system(suite, mirrors, say) as pieces:
            # Nothing goes to the engine before there is something to import.
            first = next(pieces)
            identity = _import(client, chain([first], pieces), _configuration(suite, build))
        versions = _try(client, identity, suite)
        _tag(client, identity, tag, say)
    except BaseException:
        _remove_build(client, build)
        raise
    with _engine("looking at the image"):
        size = client.images.get(identity).attrs["Size"]
    return Image(
        tag,
        f"Debian {suite.name}, Python {versions['python']}, Java {versions['java']}, {size / 1e6:.0f} MB, in {time.monotonic() - started:.0f} s",
    )


def _configuration(suite: Suite, build: str) -> list[str]:
    """The image's configuration, in a Dockerfile's words."""
    labels = {
        MADE_BY_LABEL: f"pytest-isolated-emr {version('pytest-isolated-emr')}",
        SUITE_LABEL: suite.name,
        PYTHON_LABEL: suite.python,
        JAVA_LABEL: str(suite.java),
        _BUILD_LABEL: build,
    }
    variables = {"LANG": "C.UTF-8", "JAVA_HOME": _JAVA_HOME, "PATH": _PATH}
    return [
        *(f'LABEL {name}="{value}"' for name, value in labels.items()),
        *(f"ENV {name}={value}" for name, value in variables.items()),
        'CMD ["bash"]',
    ]


def _import(client: docker.DockerClient, tar: Iterable[bytes], configuration: list[str]) -> str:
    with _engine("importing the image"):
        answer = client.api.import_image_from_stream(tar, changes=configuration)
        last = json.loads(answer.splitlines()[-1])
        if "error" in last:
            raise docker.errors.DockerException(last["error"])
        return str(last["status"])


def _try(client: docker.DockerClient, identity: str, suite: Suite) -> dict[str, str]:
    """Run the image's Python and Java once and return their exact versions."""
    with _engine("trying the image"):
        container = client.containers.create(
            identity,
            ["python3", "-c", _TRIAL],
            network_mode="none",
            labels={"isolated-emr.image-trial": identity},
        )
        try:
            container.start()
            code = container.wait(timeout=_TRIAL_TIMEOUT)["StatusCode"]
            printed = container.logs(stdout=True, stderr=False).decode(errors="replace")
            problem = container.logs(stdout=False, stderr=True).decode(errors="replace")
        finally:
            container.remove(force=True)
    versions: dict[str, str] = json.loads(printed) if code == 0 else {}
    if not versions.get("python", "").startswith(f"{suite.python}."):
        raise ImageBuildFailed(
            f"The image was built, but its Python is not the {suite.python} that it should have, or does not work.",
            checked=f"a container of it ended with {code}: {printed}{problem}".strip(),
            cure="Use a mirror of Debian that has the suite whole and as it is.",
        )
    return versions


def _tag(client: docker.DockerClient, identity: str, tag: str, say: Say) -> None:
    with _engine("tagging the image"):
        try:
            former = client.images.get(tag)
        except docker.errors.ImageNotFound:
            former = None
        repository, name = docker.utils.parse_repository_tag(tag)
        client.api.tag(identity, repository, name)
        # What somebody made from an image of ours has our labels as well, and layers of its own.
        ours = (
            former is not None
            and MADE_BY_LABEL in former.labels
            and len(former.attrs["RootFS"]["Layers"]) == 1
        )
        if not ours:
            return
        # It has lost its name. It stays if it has another one, or if a container is of it.
        former.reload()
        if former.tags:
            return
        try:
            client.images.remove(former.id)
        except docker.errors.APIError as error:
            say(f"the former image stays: {error.explanation}")


def _remove_build(client: docker.DockerClient, build: str) -> None:
    """Remove what an unfinished build left in the engine, found by its label: its id may not have come back yet."""
    with _engine("removing the unfinished image"):
        for image in client.images.list(filters={"label": f"{_BUILD_LABEL}={build}"}):
            client.images.remove(image.id, force=True)


@contextmanager
def _engine(doing: str) -> Iterator[None]:
    """Make an error of ours of what the engine, or the way to it, fails with."""
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException) as error:
        cure = "Look at the engine's log, and whether `docker info` answers."
        if "no space left" in str(error):
            cure = (
                "Free some space where the engine keeps its images (`docker system df` says what takes it)."
            )
        raise ImageBuildFailed(
            f"The engine failed at {doing}.", checked=f"{type(error).__name__}: {error}", cure=cure
        ) from error
