"""A fresh SparkSession for one test, and the removal of what the test left in the Spark that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SessionIsolation:
    """Gives tests sessions of their own in one running Spark, and removes what they leave there.

    What it asks Spark for is held, as each question of Python's to the JVM costs a part of a millisecond, and every
    test asks.

    :param shared: the session that all tests share.
    """

    def __init__(self, shared: Any) -> None:
        self.shared = shared
        state = shared._jsparkSession.sharedState()
        self._catalog = state.externalCatalog()
        self._global_views = state.globalTempViewManager()
        self._streams = state.activeStreamingQueries()
        self._cache = _Cache(state.cacheManager())
        # By its whole name: step by step, the JVM would look for a class org, org.apache, ... in every jar.
        companion = getattr(shared._jvm, "org.apache.spark.sql.SparkSession")
        self._set_default, self._set_active = companion.setDefaultSession, companion.setActiveSession

    @contextmanager
    def fresh_session(self) -> Iterator[Any]:
        """Give a test a session of its own; everywhere it is the current one.

        Its settings, temporary views, functions and current database are new. Tables, databases, global views,
        cached data, RDDs and streams that appear meanwhile are removed at the end; those that were there before
        stay.
        """
        before = self._belongings()
        session = self.shared.newSession()
        previous = _current(self.shared)
        self._make_current(session, session)
        try:
            yield session
        finally:
            if _is_alive(self.shared):
                self._remove_newer(before, session)
                self._make_current(*previous)

    def _belongings(self) -> _Belongings:
        return _Belongings(
            tables=self._tables(),
            global_views=self._names_of_global_views(),
            cached=self._cache.entries(),
            rdds=frozenset(self._rdds()),
            streams=frozenset(self._streams_by_id()),
        )

    def _remove_newer(self, before: _Belongings, session: Any) -> None:
        for identifier, query in self._streams_by_id().items():
            if identifier not in before.streams:
                query.stop()
        self._cache.keep_only(before.cached)
        for number, rdd in self._rdds().items():
            if number not in before.rdds:
                rdd.unpersist(False)
        for name in self._names_of_global_views() - before.global_views:
            session.catalog.dropGlobalTempView(name)
        for database, tables in self._tables().items():
            for table in tables - before.tables.get(database, frozenset()):
                _drop(session, database, table)
            if database not in before.tables:
                _drop_database(session, database)

    def _tables(self) -> dict[str, frozenset[str]]:
        return {
            database: _names(self._catalog.listTables(database))
            for database in _names(self._catalog.listDatabases())
        }

    def _names_of_global_views(self) -> frozenset[str]:
        return _names(self._global_views.listViewNames("*"))

    def _rdds(self) -> dict[int, Any]:
        # A map of the JVM's, so that each look into it is a question: most often the first one answers it all.
        persistent = self.shared._jsc.getPersistentRDDs()
        return dict(persistent) if len(persistent) else {}

    def _streams_by_id(self) -> dict[str, Any]:
        if not len(self._streams):
            return {}
        return {query.id().toString(): query for query in self._streams.values()}

    def _make_current(self, instantiated: Any, active: Any) -> None:
        kind = type(self.shared)
        kind._instantiatedSession = instantiated
        kind._activeSession = active
        self._set_default(instantiated._jsparkSession)
        self._set_active(active._jsparkSession)


@dataclass(frozen=True)
class _Belongings:
    """What the sessions of one Spark share, at one moment."""

    tables: dict[str, frozenset[str]]
    global_views: frozenset[str]
    cached: Any
    rdds: frozenset[int]
    streams: frozenset[str]


class _Cache:
    """The data that the sessions of one Spark have cached.

    ``clearCache`` would drop what wider fixtures cached as well, and Spark offers no list, so the list is read from
    the cache manager's own field (``CacheManager.cachedData``, the same in Spark 3.5 and 4).
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def entries(self) -> Any:
        if self._manager.isEmpty():
            return None
        return self._field().get(self._manager)

    def keep_only(self, kept: Any) -> None:
        if self._manager.isEmpty():
            return
        if kept is None:
            self._manager.clearCache()
            return
        # The sequence never changes, each new entry makes a new one, so what to keep is what both have.
        field = self._field()
        current = field.get(self._manager)
        newer = current.diff(kept)
        for position in range(newer.length()):
            newer.apply(position).cachedRepresentation().cacheBuilder().clearCache(False)
        field.set(self._manager, current.intersect(kept))

    def _field(self) -> Any:
        kind = self._manager.getClass()
        while kind.getSimpleName() != "CacheManager":
            kind = kind.getSuperclass()
        field = kind.getDeclaredField("cachedData")
        field.setAccessible(True)
        return field


def _names(sequence: Any) -> frozenset[str]:
    """Return what a sequence of the JVM's has, in one question; no name has a null character in it."""
    joined = sequence.mkString("\0")
    return frozenset(joined.split("\0")) if joined else frozenset()


def _drop(session: Any, database: str, table: str) -> None:
    name = f"{_quoted(database)}.{_quoted(table)}"
    kind = "VIEW" if session.catalog.getTable(f"{name}").tableType == "VIEW" else "TABLE"
    session.sql(f"DROP {kind} IF EXISTS {name}")


def _drop_database(session: Any, database: str) -> None:
    """Drop an empty database. Spark deletes its directory with all that is in it, which may be a user's."""
    own = Path(session.conf.get("spark.sql.warehouse.dir").removeprefix("file:")) / f"{database}.db"
    where = session.catalog.getDatabase(_quoted(database)).locationUri
    if where.removeprefix("file:").replace("///", "/") != str(own):
        # In Hive's metastore a database cannot be moved. There it stays, empty, rather than its directory go.
        with suppress(Exception):
            session.sql(f"ALTER DATABASE {_quoted(database)} SET LOCATION '{own}'")
            session.sql(f"DROP DATABASE {_quoted(database)}")
        return
    session.sql(f"DROP DATABASE IF EXISTS {_quoted(database)} CASCADE")


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _is_alive(session: Any) -> bool:
    return session._sc._jsc is not None


def _current(session: Any) -> tuple[Any, Any]:
    """Return the session that ``getOrCreate`` returns, and the one that is active."""
    kind = type(session)
    return kind._instantiatedSession, getattr(kind, "_activeSession", None) or session
