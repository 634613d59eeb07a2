"""A fresh SparkSession for one test, and the removal of what the test left in the Spark that tests share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_isolated_emr.spark.redirect import CONTEXT_SETTINGS_CLASS, SHARED_SPARK_CLASS


class SessionIsolation:
    """Gives tests sessions of their own in one running Spark, and removes what they leave there.

    What it asks Spark for is held, as each question of Python's to the JVM costs a part of a millisecond, and every
    test asks.

    :param shared: the session that all tests share.
    """

    def __init__(self, shared: Any) -> None:
        self.shared = shared
        state = shared._jsparkSession.sharedState()
        self._state, self._context = state, shared._jsc.sc()
        self._describe = getattr(shared._jvm, SHARED_SPARK_CLASS).describe
        self._settings_of = getattr(shared._jvm, CONTEXT_SETTINGS_CLASS)
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
        stay. The context's Hadoop settings and local properties are put back.
        """
        before, settings = self._belongings(), self._settings_of(self._context)
        session = self.shared.newSession()
        previous = _current(self.shared)
        self._make_current(session, session)
        try:
            yield session
        finally:
            if _is_alive(self.shared):
                try:
                    self._remove_newer(before, session)
                finally:
                    settings.restore()
                    self._make_current(*previous)

    def _belongings(self) -> _Belongings:
        views, databases, counts = self._describe(self._state, self._context).split("\1")
        cached, rdds, streams = (int(count) for count in counts.split())
        named = [database.split("\0") for database in databases.split("\2")]
        return _Belongings(
            tables={database: frozenset(tables) for database, *tables in named},
            global_views=frozenset(views.split("\0") if views else ()),
            cached=self._cache.entries() if cached else None,
            rdds=dict(self.shared._jsc.getPersistentRDDs()) if rdds else {},
            streams={query.id().toString(): query for query in self._streams.values()} if streams else {},
        )

    def _remove_newer(self, before: _Belongings, session: Any) -> None:
        now = self._belongings()
        # It goes on past what cannot be removed, and from the last to the first: what uses others goes before them.
        with ExitStack() as removals:
            for database, tables in now.tables.items():
                if database not in before.tables:
                    removals.callback(_drop_database, session, database)
                for table in tables - before.tables.get(database, frozenset()):
                    removals.callback(_drop, session, database, table)
            for name in now.global_views - before.global_views:
                removals.callback(session.catalog.dropGlobalTempView, name)
            for number in now.rdds.keys() - before.rdds.keys():
                removals.callback(now.rdds[number].unpersist, False)
            if now.cached is not None:
                removals.callback(self._cache.keep_only, before.cached)
            for identifier in now.streams.keys() - before.streams.keys():
                removals.callback(now.streams[identifier].stop)

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
    rdds: dict[int, Any]
    streams: dict[str, Any]


class _Cache:
    """The data that the sessions of one Spark have cached.

    ``clearCache`` would drop what wider fixtures cached as well, and Spark offers no list, so the list is read from
    the cache manager's own field (``CacheManager.cachedData``, the same in Spark 3.5 and 4).
    """

    def __init__(self, manager: Any) -> None:
        self._manager = manager

    def entries(self) -> Any:
        return self._field().get(self._manager)

    def keep_only(self, kept: Any) -> None:
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
