package isolatedemr;

import org.apache.spark.SparkContext;
import org.apache.spark.sql.catalyst.catalog.ExternalCatalog;
import org.apache.spark.sql.internal.SharedState;

/**
 * What the sessions of one Spark share, told in one answer: Python would need twenty questions, before and after every
 * test.
 */
public final class SharedSpark {
    private SharedSpark() {
    }

    /**
     * Returns three parts with \1 between them: the global views; each database with its tables, and \2 between them;
     * how much is cached (0 or 1), and how many RDDs and streams there are. Names have \0 between them.
     */
    public static String describe(SharedState state, SparkContext context) {
        StringBuilder told = new StringBuilder();
        told.append(state.globalTempViewManager().listViewNames("*").mkString("\0")).append('\1');
        ExternalCatalog catalog = state.externalCatalog();
        String[] databases = catalog.listDatabases().mkString("\0").split("\0");
        for (int i = 0; i < databases.length; i++) {
            String tables = catalog.listTables(databases[i]).mkString("\0");
            told.append(i == 0 ? "" : "\2").append(databases[i]);
            told.append(tables.isEmpty() ? "" : "\0").append(tables);
        }
        told.append('\1').append(state.cacheManager().isEmpty() ? 0 : 1);
        told.append(' ').append(context.persistentRdds().size());
        told.append(' ').append(state.activeStreamingQueries().size());
        return told.toString();
    }
}
