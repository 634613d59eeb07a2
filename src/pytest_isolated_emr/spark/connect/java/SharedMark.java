package isolatedemr;

import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Set;

import org.apache.hadoop.fs.Path;
import org.apache.spark.SparkEnv;
import org.apache.spark.api.java.JavaRDD;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.api.python.PythonWorkerFactory;
import org.apache.spark.rdd.RDD;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.sql.catalyst.catalog.ExternalCatalog;
import org.apache.spark.sql.execution.CacheManager;
import org.apache.spark.sql.execution.CachedData;
import org.apache.spark.sql.execution.columnar.CachedRDDBuilder;
import org.apache.spark.sql.internal.SharedState;
import org.apache.spark.sql.streaming.StreamingQuery;
import scala.Tuple2;
import scala.collection.immutable.IndexedSeq;

/**
 * What the sessions of one Spark shared at one moment: tables, databases, global views, cached data, RDDs, streams,
 * Python workers, and the context's settings.
 *
 * It does over Spark Connect what spark/isolation.py does over py4j.
 */
final class SharedMark {
    private final Map tables;
    private final Set globalViews;
    private final IndexedSeq cached;
    private final Set rdds;
    private final Set streams;
    private final ContextSettings settings;
    private final Set workers;

    SharedMark(SparkSession session) {
        SharedState state = session.sharedState();
        this.tables = tablesOf(state.externalCatalog());
        this.globalViews = new HashSet(globalViewsOf(state));
        this.cached = cachedIn(state.cacheManager());
        this.rdds = new HashSet(rddsOf(session).keySet());
        this.streams = new HashSet(state.activeStreamingQueries().keySet());
        this.settings = new ContextSettings(session.sparkContext());
        this.workers = new HashSet(pythonWorkers().keySet());
    }

    /** Removes what is newer, and puts the settings back. It goes on past what fails, and throws at the end. */
    void restore(SparkSession session) {
        List removals = this.removals(session);
        List failures = new ArrayList();
        for (Iterator each = removals.iterator(); each.hasNext(); ) {
            Removal removal = (Removal) each.next();
            try {
                removal.run();
            } catch (Exception error) {
                failures.add(removal + ": " + error);
            }
        }
        this.settings.restore();
        if (!failures.isEmpty()) {
            StringBuilder told = new StringBuilder("a test's leftovers could not be removed:");
            for (Iterator each = failures.iterator(); each.hasNext(); ) {
                told.append("\n").append(each.next());
            }
            throw new IllegalStateException(told.toString());
        }
    }

    /** Returns how to remove what is newer. What uses others goes before them. */
    private List removals(SparkSession session) {
        SharedState state = session.sharedState();
        List removals = new ArrayList();
        for (Iterator each = state.activeStreamingQueries().values().iterator(); each.hasNext(); ) {
            StreamingQuery query = (StreamingQuery) each.next();
            if (!this.streams.contains(query.id())) {
                removals.add(new StreamStop(query));
            }
        }
        for (Iterator each = pythonWorkers().entrySet().iterator(); each.hasNext(); ) {
            Map.Entry entry = (Map.Entry) each.next();
            if (!this.workers.contains(entry.getKey())) {
                removals.add(new WorkersEnd(entry.getKey(), (PythonWorkerFactory) entry.getValue()));
            }
        }
        removals.add(new CacheRemoval(state.cacheManager(), this.cached));
        for (Iterator each = rddsOf(session).values().iterator(); each.hasNext(); ) {
            JavaRDD rdd = (JavaRDD) each.next();
            if (!this.rdds.contains(Integer.valueOf(rdd.id()))) {
                removals.add(new RddRemoval(rdd));
            }
        }
        for (Iterator each = globalViewsOf(state).iterator(); each.hasNext(); ) {
            String view = (String) each.next();
            if (!this.globalViews.contains(view)) {
                removals.add(new GlobalViewDrop(session, view));
            }
        }
        for (Iterator each = tablesOf(state.externalCatalog()).entrySet().iterator(); each.hasNext(); ) {
            Map.Entry entry = (Map.Entry) each.next();
            String database = (String) entry.getKey();
            Set before = (Set) this.tables.get(database);
            for (Iterator names = ((Set) entry.getValue()).iterator(); names.hasNext(); ) {
                String table = (String) names.next();
                if (before == null || !before.contains(table)) {
                    removals.add(new TableDrop(session, database, table));
                }
            }
            if (before == null) {
                removals.add(new DatabaseDrop(session, database));
            }
        }
        return removals;
    }

    private static Map tablesOf(ExternalCatalog catalog) {
        Map tables = new HashMap();
        for (Iterator each = names(catalog.listDatabases().mkString("\0")).iterator(); each.hasNext(); ) {
            String database = (String) each.next();
            tables.put(database, new HashSet(names(catalog.listTables(database).mkString("\0"))));
        }
        return tables;
    }

    private static List globalViewsOf(SharedState state) {
        return names(state.globalTempViewManager().listViewNames("*").mkString("\0"));
    }

    /** Without those of cached data: that of a wider fixture becomes an RDD at its first use, which may be a test's. */
    private static Map rddsOf(SparkSession session) {
        Map rdds = new HashMap(JavaSparkContext.fromSparkContext(session.sparkContext()).getPersistentRDDs());
        IndexedSeq cached = cachedIn(session.sharedState().cacheManager());
        for (int i = 0; i < cached.length(); i++) {
            CachedRDDBuilder builder = ((CachedData) cached.apply(i)).cachedRepresentation().cacheBuilder();
            RDD rdd = (RDD) fieldOf(CachedRDDBuilder.class, "_cachedColumnBuffers", builder);
            if (rdd != null) {
                rdds.remove(Integer.valueOf(rdd.id()));
            }
        }
        return rdds;
    }

    /**
     * Python workers by what they are for. Over Connect each session has workers of its own, and a daemon that starts
     * them; Spark ends neither with the session.
     */
    private static Map pythonWorkers() {
        Map workers = new HashMap();
        SparkEnv env = SparkEnv.get();
        synchronized (env) {
            scala.collection.mutable.HashMap field =
                (scala.collection.mutable.HashMap) fieldOf(SparkEnv.class, "pythonWorkers", env);
            for (scala.collection.Iterator each = field.iterator(); each.hasNext(); ) {
                Tuple2 entry = (Tuple2) each.next();
                workers.put(entry._1(), entry._2());
            }
        }
        return workers;
    }

    /** Joined and split again, as Scala's sequences are other classes in each of its versions. */
    private static List names(String joined) {
        return joined.isEmpty() ? Collections.EMPTY_LIST : Arrays.asList(joined.split("\0"));
    }

    /** Spark offers no list of what is cached; this field is the same in Spark 3.5 and 4. */
    private static IndexedSeq cachedIn(CacheManager manager) {
        return (IndexedSeq) fieldOf(CacheManager.class, "cachedData", manager);
    }

    private static Object fieldOf(Class kind, String name, Object owner) {
        try {
            Field field = kind.getDeclaredField(name);
            field.setAccessible(true);
            return field.get(owner);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException("this Spark's " + kind.getName() + " has no " + name, error);
        }
    }

    /** In the catalog of Spark itself, whichever is the session's current one. */
    private static String quoted(String database) {
        return "spark_catalog." + quotedPart(database);
    }

    private static String quotedPart(String name) {
        return "`" + name.replace("`", "``") + "`";
    }

    /** Something to remove; its text names it. */
    private interface Removal {
        void run() throws Exception;
    }

    private static final class StreamStop implements Removal {
        private final StreamingQuery query;

        StreamStop(StreamingQuery query) {
            this.query = query;
        }

        public void run() throws Exception {
            this.query.stop();
        }

        public String toString() {
            return "stream " + this.query.id();
        }
    }

    private static final class WorkersEnd implements Removal {
        private final Object purpose;
        private final PythonWorkerFactory workers;

        WorkersEnd(Object purpose, PythonWorkerFactory workers) {
            this.purpose = purpose;
            this.workers = workers;
        }

        public void run() {
            SparkEnv env = SparkEnv.get();
            synchronized (env) {
                ((scala.collection.mutable.HashMap) fieldOf(SparkEnv.class, "pythonWorkers", env)).remove(this.purpose);
            }
            this.workers.stop();
        }

        public String toString() {
            return "Python workers";
        }
    }

    /** Keeps what was cached before: clearCache would drop that of wider fixtures as well. */
    private static final class CacheRemoval implements Removal {
        private final CacheManager manager;
        private final IndexedSeq kept;

        CacheRemoval(CacheManager manager, IndexedSeq kept) {
            this.manager = manager;
            this.kept = kept;
        }

        public void run() throws Exception {
            synchronized (this.manager) {
                IndexedSeq current = cachedIn(this.manager);
                for (int i = 0; i < current.length(); i++) {
                    if (!this.kept.contains(current.apply(i))) {
                        ((CachedData) current.apply(i)).cachedRepresentation().cacheBuilder().clearCache(false);
                    }
                }
                Field field = CacheManager.class.getDeclaredField("cachedData");
                field.setAccessible(true);
                field.set(this.manager, current.intersect(this.kept));
            }
        }

        public String toString() {
            return "cached data";
        }
    }

    private static final class RddRemoval implements Removal {
        private final JavaRDD rdd;

        RddRemoval(JavaRDD rdd) {
            this.rdd = rdd;
        }

        public void run() {
            this.rdd.unpersist(false);
        }

        public String toString() {
            return "persisted RDD " + this.rdd.id();
        }
    }

    private static final class GlobalViewDrop implements Removal {
        private final SparkSession session;
        private final String view;

        GlobalViewDrop(SparkSession session, String view) {
            this.session = session;
            this.view = view;
        }

        public void run() {
            this.session.catalog().dropGlobalTempView(this.view);
        }

        public String toString() {
            return "global temporary view " + this.view;
        }
    }

    private static final class TableDrop implements Removal {
        private final SparkSession session;
        private final String database;
        private final String table;

        TableDrop(SparkSession session, String database, String table) {
            this.session = session;
            this.database = database;
            this.table = table;
        }

        public void run() throws Exception {
            ExternalCatalog catalog = this.session.sharedState().externalCatalog();
            String kind = catalog.getTable(this.database, this.table).tableType().name();
            String dropped = kind.equals("VIEW") ? "VIEW" : "TABLE";
            String name = quoted(this.database) + "." + quotedPart(this.table);
            this.session.sql("DROP " + dropped + " IF EXISTS " + name);
        }

        public String toString() {
            return "table " + this.database + "." + this.table;
        }
    }

    /** Drops an empty database. Spark deletes its directory with all that is in it, which may be a user's. */
    private static final class DatabaseDrop implements Removal {
        private final SparkSession session;
        private final String database;

        DatabaseDrop(SparkSession session, String database) {
            this.session = session;
            this.database = database;
        }

        public void run() {
            String name = quoted(this.database);
            Path own = new Path(this.session.conf().get("spark.sql.warehouse.dir"), this.database + ".db");
            ExternalCatalog catalog = this.session.sharedState().externalCatalog();
            if (own.equals(new Path(catalog.getDatabase(this.database).locationUri()))) {
                this.session.sql("DROP DATABASE IF EXISTS " + name + " CASCADE");
                return;
            }
            try {
                this.session.sql("ALTER DATABASE " + name + " SET LOCATION '" + own + "'");
            } catch (Exception error) {
                // Hive's metastore cannot move one. There it stays, empty, rather than its directory go.
                return;
            }
            this.session.sql("DROP DATABASE " + name);
        }

        public String toString() {
            return "database " + this.database;
        }
    }
}
