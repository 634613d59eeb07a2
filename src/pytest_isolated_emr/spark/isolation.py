"""A fresh SparkSession for one test, and the removal of what the test left in the Spark that tests share."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@contextmanager
def fresh_session(shared: Any) -> Iterator[Any]:
    """Give a test a session of its own in the running Spark; everywhere it is the current one.

    Its settings, temporary views, functions and current database are new. Tables, databases, global views, cached
    data, RDDs and streams that appear meanwhile are removed at the end; those that were there before stay.

    :param shared: the session that all tests share.
    """
    before = _Belongings.of(shared)
    session = shared.newSession()
    previous = _current(shared)
    _make_current(session, session)
    try:
        yield session
    finally:
        if _is_alive(shared):
            before.remove_newer(session)
            _make_current(*previous)


@dataclass(frozen=True)
class _Belongings:
    """What the sessions of one Spark share, at one moment."""

    tables: dict[str, frozenset[str]]
    global_views: frozenset[str]
    cached: Any
    rdds: frozenset[int]
    streams: frozenset[str]

    @classmethod
    def of(cls, session: Any) -> _Belongings:
        return cls(
            tables=_tables(session),
            global_views=_global_views(session),
            cached=_Cache(session).entries(),
            rdds=frozenset(session._jsc.getPersistentRDDs().keys()),
            streams=frozenset(query.id().toString() for query in _streams(session)),
        )

    def remove_newer(self, session: Any) -> None:
        for query in _streams(session):
            if query.id().toString() not in self.streams:
                query.stop()
        cache = _Cache(session)
        cache.keep_only(self.cached)
        for number, rdd in dict(session._jsc.getPersistentRDDs()).items():
            if number not in self.rdds:
                rdd.unpersist(False)
        for name in _global_views(session) - self.global_views:
            session.catalog.dropGlobalTempView(name)
        for database, tables in _tables(session).items():
            for table in tables - self.tables.get(database, frozenset()):
                _drop(session, database, table)
            if database not in self.tables:
                _drop_database(session, database)


class _Cache:
    """The data that the sessions of one Spark have cached.

    ``clearCache`` would drop what wider fixtures cached as well, and Spark offers no list, so the list is read from
    the cache manager's own field (``CacheManager.cachedData``, the same in Spark 3.5 and 4).
    """

    def __init__(self, session: Any) -> None:
        self._manager = session._jsparkSession.sharedState().cacheManager()

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


def _tables(session: Any) -> dict[str, frozenset[str]]:
    catalog = session._jsparkSession.sharedState().externalCatalog()
    return {
        database: frozenset(_items(catalog.listTables(database)))
        for database in _items(catalog.listDatabases())
    }


def _items(sequence: Any) -> Iterator[str]:
    return (sequence.apply(position) for position in range(sequence.length()))


def _global_views(session: Any) -> frozenset[str]:
    views = session._jsparkSession.sharedState().globalTempViewManager().listViewNames("*")
    return frozenset(_items(views))


def _streams(session: Any) -> list[Any]:
    return list(session._jsparkSession.sharedState().activeStreamingQueries().values())


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


def _make_current(instantiated: Any, active: Any) -> None:
    session_class = importlib.import_module("pyspark.sql.session").SparkSession
    session_class._instantiatedSession = instantiated
    session_class._activeSession = active
    companion = active._jvm.org.apache.spark.sql.SparkSession
    companion.setDefaultSession(instantiated._jsparkSession)
    companion.setActiveSession(active._jsparkSession)
