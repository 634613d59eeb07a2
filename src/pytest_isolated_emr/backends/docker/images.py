"""The image that containers are made of: which one, whether it is there, and its pull."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_isolated_emr import errors
from pytest_isolated_emr.backends.docker.engine import Engine, engine_errors

_BUILD = "`isolated-emr image build` makes one from Debian's packages without a registry; name it by --isolated-emr-image."


def default_image(spark_version: str, release: str | None) -> str:
    """Return the image to use where none is named.

    :param spark_version: that of the installed pyspark.
    :param release: the EMR release that was asked for, if one was.
    """
    if release is not None:
        # EMR's own, as Amazon publishes them for EMR on EKS:
        # https://docs.aws.amazon.com/emr/latest/EMR-on-EKS-DevelopmentGuide/docker-custom-images-tag.html
        return f"public.ecr.aws/emr-on-eks/spark/{release}:latest"
    return f"apache/spark:{spark_version}-python3"


@dataclass(frozen=True)
class Image:
    """An image that the engine has.

    :param name: as it was asked for.
    :param id: the engine's, which changes with what is in it.
    :param spark_home: the directory of its own Spark; empty where it has none, and the installed one is mounted.
    """

    name: str
    id: str
    spark_home: str

    @classmethod
    def find(cls, engine: Engine, name: str) -> Image | None:
        """Return an image if the engine has it.

        :param engine: where to look.
        :param name: its name.
        """
        from docker.errors import NotFound

        try:
            with engine_errors(f"looking for the image {name}"):
                found = engine.api.inspect_image(name)
        except NotFound:
            return None
        variables = dict(entry.partition("=")[::2] for entry in found["Config"].get("Env") or ())
        return cls(name, found["Id"], variables.get("SPARK_HOME", ""))


class Pull:
    """Fetches an image from its registry, and tells how far it is.

    :param engine: which fetches it.
    :param name: the image.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._layers: dict[str, tuple[int, int]] = {}

    @property
    def progress(self) -> str:
        """How far it is, in words."""
        done = sum(current for current, _total in self._layers.values())
        total = sum(total for _current, total in self._layers.values())
        return f"pulling {self._name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"

    def run(self) -> None:
        """Fetch it.

        :raises ImageUnavailable: the registry does not have it, or cannot be reached.
        """
        from docker.errors import APIError, NotFound
        from docker.utils import parse_repository_tag

        repository, tag = parse_repository_tag(self._name)
        try:
            with engine_errors(f"pulling the image {self._name}"):
                for event in self._engine.api.pull(repository, tag=tag or "latest", stream=True, decode=True):
                    self._note(event)
        except NotFound as error:
            raise self._unavailable(str(error.explanation)) from error
        except errors.EngineFailed as error:
            if isinstance(error.__cause__, APIError) and "no space left" not in error.checked:
                raise self._unavailable(str(error.__cause__.explanation)) from error
            raise

    def _note(self, event: dict[str, Any]) -> None:
        if "error" in event:
            raise self._unavailable(event["error"])
        detail = event.get("progressDetail") or {}
        if event.get("status") == "Downloading" and "total" in detail:
            self._layers[event["id"]] = (detail["current"], detail["total"])
        elif (
            event.get("status") in ("Download complete", "Pull complete") and event.get("id") in self._layers
        ):
            total = self._layers[event["id"]][1]
            self._layers[event["id"]] = (total, total)

    def _unavailable(self, words: str) -> errors.ImageUnavailable:
        return errors.ImageUnavailable(
            f"The image {self._name} is not here, and could not be pulled.",
            checked=f"the engine's images; pulling it: {words.strip()}",
            cure=f"Check the name, the network and `docker login`, and pull it by hand. Or {_BUILD}",
        )
