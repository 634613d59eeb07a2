"""Makes the archive of Spark's classes for an image's containers: in a session of its own, whose Spark does what suites do
first, and writes the archive at its exit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pytest_isolated_emr.backend_options import backend_options, image_of
from pytest_isolated_emr.backends.base import VisibleFiles
from pytest_isolated_emr.backends.docker.class_data import lock_of
from pytest_isolated_emr.claims import claim_of_command
from pytest_isolated_emr.errors import SparkNotStarted
from pytest_isolated_emr.lifecycle.private_files import make_private
from pytest_isolated_emr.lifecycle.state_root import StateRoot
from pytest_isolated_emr.session import Session
from pytest_isolated_emr.settings import Settings
from pytest_isolated_emr.spark import archive_file, properties
from pytest_isolated_emr.spark.jar_cache import locked
from pytest_isolated_emr.spark.wiring import SparkWiring
from pytest_isolated_emr.visible_files import installed_packages

_COMMAND = ["isolated-emr", "fetch", "--image"]


def make(settings: Settings, wiring: SparkWiring, progress: Callable[[str], None]) -> Path:
    """Make the archive, if there is none, and return it.

    :param settings: of a session on the docker backend.
    :param wiring: Spark and its jars.
    :param progress: told what is being waited for.
    :raises IsolatedEmrError: there is no such image, or its Spark does not work.
    """
    image = image_of(settings, wiring.installation.version)
    lock = lock_of(StateRoot.from_environment().container_class_data, image)
    make_private(lock.parent)
    with locked(lock, progress):
        session = Session.start(
            settings,
            [*_COMMAND, image],
            Session.launch_keeper(settings),
            backend_options(settings, wiring.installation.version),
            claim_of_command(settings),
            progress,
        )
        try:
            session.environment_guard(is_remote=True).apply()
            path = _train(settings, wiring, session, progress)
            problems, notes = session.close(progress)
        finally:
            session.client.close()
    for note in notes:
        progress(note)
    for problem in problems:
        progress(f"could not be removed: {problem} (isolated-emr sweep --delete)")
    return path


def _train(
    settings: Settings, wiring: SparkWiring, session: Session, progress: Callable[[str], None]
) -> Path:
    while waits_for := session.client.request("waits_for")["waits_for"]:
        progress(waits_for)
    made = session.worker_directory / "made.jsa"
    environ = dict(os.environ)
    for_server = wiring.for_server(wiring.own_defaults(session, progress), environ, progress)
    session.client.request(
        "start_spark",
        properties=properties.with_java_options(for_server, [f"-XX:ArchiveClassesAtExit={made}"]),
        environ=environ,
        cwd=str(session.worker_directory),
        spark_home=str(wiring.installation.home),
        timeout=settings.start_timeout,
        files=VisibleFiles(
            read_only=(wiring.jar_cache,),
            writable=(session.worker_directory,),
            packages=tuple(installed_packages()),
        ).to_message(),
    )
    session.client.request("spark_gateway")
    (path,) = map(Path, session.client.request("class_data")["paths"])
    if path.is_file():
        return path
    progress("archiving the classes of Spark in the image, once: about a minute")
    session.client.request("train")
    if not made.is_file():
        log = Path(session.client.request("spark_status")["log"])
        raise SparkNotStarted(
            "Spark's classes could not be archived: the JVM wrote no archive.",
            checked=f"what the JVM of the image printed:\n{log.read_text(errors='replace')[-4000:]}",
            cure="Tests run without it, only later. Give the containers more memory, or use an image whose Java has an "
            "archive of its own classes (`java -Xshare:dump` makes it).",
        )
    archive_file.publish(made, path)
    return path
