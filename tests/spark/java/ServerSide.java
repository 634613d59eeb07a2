package isolatedemrtest;

import java.util.ArrayList;
import java.util.List;

import org.apache.spark.Partition;
import org.apache.spark.SparkContext;
import org.apache.spark.SparkContext$;
import org.apache.spark.TaskContext;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.rdd.RDD;
import org.apache.spark.storage.StorageLevel;
import scala.collection.Iterator;
import scala.reflect.ClassTag$;

/** What a client of Spark Connect cannot do by itself, but code that it has the server run: called by SQL's reflect. */
public final class ServerSide {
    /** Spark holds persisted RDDs weakly. */
    private static final List HELD = new ArrayList();

    private ServerSide() {
    }

    public static String setHadoop(String name, String value) {
        context().hadoopConfiguration().set(name, value);
        return value;
    }

    public static String unsetHadoop(String name) {
        context().hadoopConfiguration().unset(name);
        return name;
    }

    public static String hadoop(String name) {
        return String.valueOf(context().hadoopConfiguration().get(name));
    }

    public static String persist(String name) {
        return held(java().emptyRDD().rdd(), name);
    }

    public static String persistForEver(String name) {
        return held(new Stubborn(context()), name);
    }

    /** Returns how many RDDs are persisted under a name. */
    public static int persisted(String name) {
        int count = 0;
        for (java.util.Iterator each = java().getPersistentRDDs().values().iterator(); each.hasNext(); ) {
            count += name.equals(((org.apache.spark.api.java.JavaRDD) each.next()).name()) ? 1 : 0;
        }
        return count;
    }

    public static int persistedInAll() {
        return java().getPersistentRDDs().size();
    }

    /** Returns how many streams run. */
    public static int streams() {
        int count = 0;
        for (java.util.Iterator each = Thread.getAllStackTraces().keySet().iterator(); each.hasNext(); ) {
            count += ((Thread) each.next()).getName().startsWith("stream execution thread") ? 1 : 0;
        }
        return count;
    }

    private static String held(RDD rdd, String name) {
        rdd.setName(name);
        rdd.persist(StorageLevel.MEMORY_ONLY());
        HELD.add(rdd);
        return name;
    }

    private static SparkContext context() {
        return (SparkContext) SparkContext$.MODULE$.getActive().get();
    }

    private static JavaSparkContext java() {
        return JavaSparkContext.fromSparkContext(context());
    }

    /** One that cannot be unpersisted. */
    private static final class Stubborn extends RDD {
        Stubborn(SparkContext context) {
            super(context, java().emptyRDD().rdd().dependencies(), ClassTag$.MODULE$.Object());
        }

        public Iterator compute(Partition split, TaskContext context) {
            throw new UnsupportedOperationException();
        }

        public Partition[] getPartitions() {
            return new Partition[0];
        }

        public RDD unpersist(boolean blocking) {
            throw new IllegalStateException("stubborn");
        }
    }
}
