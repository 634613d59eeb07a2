package isolatedemr;

import java.util.Iterator;
import java.util.Map;
import java.util.Properties;

import org.apache.hadoop.conf.Configuration;
import org.apache.spark.SparkContext;

/**
 * The settings of a context that all sessions share, as they were at one moment: Hadoop's, and the local properties of the
 * thread that asks.
 */
public final class ContextSettings {
    private final SparkContext context;
    private final Configuration hadoop;
    private final Properties local;

    public ContextSettings(SparkContext context) {
        this.context = context;
        this.hadoop = new Configuration(context.hadoopConfiguration());
        this.local = (Properties) context.getLocalProperties().clone();
    }

    /** Has the context have them again. */
    public void restore() {
        Configuration now = this.context.hadoopConfiguration();
        // A copy, since what is looked at is changed.
        for (Iterator entries = new Configuration(now).iterator(); entries.hasNext(); ) {
            String name = (String) ((Map.Entry) entries.next()).getKey();
            if (this.hadoop.getRaw(name) == null) {
                now.unset(name);
            }
        }
        for (Iterator entries = this.hadoop.iterator(); entries.hasNext(); ) {
            String name = (String) ((Map.Entry) entries.next()).getKey();
            String value = this.hadoop.getRaw(name);
            if (!value.equals(now.getRaw(name))) {
                now.set(name, value);
            }
        }
        this.context.setLocalProperties((Properties) this.local.clone());
    }
}
