"""A fresh session for one test over Spark Connect, on a server that has no commands of ours.

What sessions share is looked at before and after a test, by one call each, and what is new is removed by calls of the
catalog.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from pytest_isolated_emr.spark.connect.fresh_sessions import FreshSessions, close_channel, new_session

_CATALOG = "spark_catalog"
_GLOBAL = "global_temp"
_KIND = "spark.sql.catalogImplementation"
_PLUGIN = f"spark.sql.catalog.{_CATALOG}"
#: What may stand before Spark's own catalog and keeps nothing itself.
_HARMLESS_PLUGINS = ("", "builtin", "org.apache.spark.sql.delta.catalog.DeltaCatalog")


@dataclass(frozen=True)
class Shared:
    """What the sessions of one server share, at one moment.

    :param tables: each database's tables and views.
    :param global_views: the names of global temporary views.
    """

    tables: dict[str, frozenset[str]] = field(default_factory=dict)
    global_views: frozenset[str] = frozenset()


class PlainIsolation(FreshSessions[Shared]):
    """Gives tests sessions of their own in one Spark Connect server, and removes what they leave there.

    Tables, views and databases of Spark's own catalog, and global temporary views, that appear meanwhile are removed at
    the end; those that were there before stay. Streams end with the test's sessions.

    These are **not** put back: what the test cached (it stays in the server's memory, unless it is of a table that is
    removed), persisted RDDs, settings of Hadoop's that hold for all of the server, functions that are stored in a
    database, what was changed or removed of the things that were there before, other catalogs
    (``spark.sql.catalog.…``), and the files of external tables and of databases that have a directory of their own.

    A catalog that is not the server's alone is left alone: Hive's metastore, or Glue, has tables of others, and a new
    one may be theirs.

    :param shared: the Connect session that all tests share.
    :param settings: what the suite set when it made the first session.
    :param is_alive: tells whether the server has not ended.
    :param note: takes what the user should read in the summary.
    """

    def __init__(
        self,
        shared: Any,
        settings: Mapping[str, str],
        *,
        is_alive: Callable[[], bool],
        note: Callable[[str], None],
    ) -> None:
        super().__init__(shared, settings)
        self._is_alive = is_alive
        # No test has it, so none changes its catalog, nor stops it.
        self._own = new_session(shared)
        self._own.catalog.setCurrentCatalog(_CATALOG)
        kind = self._own.conf.get(_KIND, "in-memory")
        plugin = self._own.conf.get(_PLUGIN, "")
        self._has_own_catalog = kind == "in-memory" and plugin in _HARMLESS_PLUGINS
        self._databases: list[str] = []
        if not self._has_own_catalog:
            note(
                f"tables and databases that tests leave in Spark's catalog ({plugin or kind}) are not removed: "
                "others may use it too, and what is new may be theirs"
            )

    def remember(self) -> Shared:
        """Return what sessions share now."""
        return self._look()

    def restore(self, mark: Shared, clients: Sequence[Any]) -> None:
        """End the sessions of a test, and remove what it left.

        :param mark: what was there before.
        :param clients: those of all sessions that were made meanwhile.
        :raises pyspark.errors.PySparkException: something could not be removed; the rest is removed.
        """
        if not self._is_alive():
            # Nothing is left in a server that has ended.
            for client in clients:
                close_channel(client)
            return
        # It goes on past what fails, and from the last to the first: the sessions end before what they use is removed.
        with ExitStack() as removals:
            removals.callback(self._remove_newer, mark)
            for client in clients:
                removals.callback(self._end, client)

    def _end(self, client: Any) -> None:
        if client.is_closed:
            return
        if isinstance(client._builder, type(self.shared.client._builder)):
            client.release_session()
            client.close()
        else:
            # Another server's, which may be gone.
            close_channel(client)

    def _remove_newer(self, before: Shared) -> None:
        now = self._look()
        catalog = self._own.catalog
        with ExitStack() as removals:
            for database, tables in now.tables.items():
                if database not in before.tables:
                    removals.callback(self._drop_database, database)
                for table in tables - before.tables.get(database, frozenset()):
                    removals.callback(self._drop, database, table)
            for name in now.global_views - before.global_views:
                removals.callback(catalog.dropGlobalTempView, name)

    def _drop(self, database: str, table: str) -> None:
        name = f"{_quoted(database)}.{_quoted(table)}"
        kind = "VIEW" if self._own.catalog.getTable(name).tableType == "VIEW" else "TABLE"
        self._own.sql(f"DROP {kind} IF EXISTS {name}")

    def _drop_database(self, database: str) -> None:
        """Drop a database that has no tables any more. Spark deletes its directory with all that is in it, which may be
        a user's."""
        quoted = _quoted(database)
        own = f"{self._own.conf.get('spark.sql.warehouse.dir').rstrip('/')}/{database}.db"
        if not _is_same(self._own.catalog.getDatabase(quoted).locationUri, own):
            self._own.sql(f"ALTER DATABASE {quoted} SET LOCATION '{own}'")
        self._own.sql(f"DROP DATABASE IF EXISTS {quoted} CASCADE")

    def _look(self) -> Shared:
        """Return what sessions share, by one call, or two if there is a database that was not there before."""
        from pyspark.errors import PySparkException

        try:
            known = self._databases
            names, tables = self._ask(known)
        except PySparkException:
            # A database of the last time is gone.
            known = []
            names, tables = self._ask(known)
        if missing := [name for name in names if name not in known]:
            tables |= self._ask(missing)[1]
        self._databases = names
        views = tables.pop(_GLOBAL, frozenset())
        return Shared({name: tables.get(name, frozenset()) for name in names}, views)

    def _ask(self, databases: Iterable[str]) -> tuple[list[str], dict[str, frozenset[str]]]:
        """Return the names of all databases, and the tables of some and of the one of global views."""
        plan = importlib.import_module("pyspark.sql.connect.plan")
        functions = importlib.import_module("pyspark.sql.connect.functions")
        frames = importlib.import_module("pyspark.sql.connect.dataframe")

        def rows(asked: Any, database: str | None) -> Any:
            # For whom it is not: none of this session's own, as it makes no temporary views.
            of = functions.lit(database).cast("string")
            return frames.DataFrame(asked, self._own).select(of.alias("database"), "name")

        everything = rows(plan.ListTables(db_name=_GLOBAL), _GLOBAL)
        if self._has_own_catalog:
            everything = everything.unionAll(rows(plan.ListDatabases(), None))
            for database in databases:
                everything = everything.unionAll(rows(plan.ListTables(db_name=_quoted(database)), database))
        # `collect` would ask for settings first.
        table, _schema = everything._to_table()
        names: list[str] = []
        tables: dict[str, set[str]] = {}
        for of, name in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if of is None:
                names.append(name)
            else:
                tables.setdefault(of, set()).add(name)
        return names, {database: frozenset(found) for database, found in tables.items()}


def _is_same(location: str, path: str) -> bool:
    """Tell whether two places are one, of which the first may name its file system in another way."""
    return location.removeprefix("file:").replace("///", "/") == path.removeprefix("file:").replace(
        "///", "/"
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
