package isolatedemr;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileAttribute;
import java.util.Iterator;
import java.util.Properties;
import java.util.TimeZone;

import org.apache.hadoop.util.NativeCodeLoader;
import org.apache.spark.deploy.SparkSubmit;
import org.apache.spark.internal.Logging$;
import org.apache.spark.sql.SparkSession;
import org.apache.spark.util.Utils;
import org.slf4j.LoggerFactory;

/**
 * SparkSubmit in a JVM that is started before there is a step for it. It does a first job, none of whose code or settings are
 * the user's and nothing of whose output stays, writes to the file that its first argument names that it is ready, and waits on its standard input for a
 * line and the arguments of SparkSubmit. With the line, its step is there: it leaves out what it has not begun of the first job. Compiled by Janino.
 */
public final class SubmitAhead {
    private static final String MAIN_CLASS = "org.apache.spark.deploy.SparkSubmit";
    /** The step before may still run, with the processors that the rest of the first job would take. */
    private static final int PAUSE_MILLISECONDS = 2000;

    private SubmitAhead() {}

    public static void main(String[] arguments) throws Exception {
        // What is not asked for before the properties are kept, would be asked for, and be one of them, once.
        TimeZone.getDefault();
        Properties properties = (Properties) System.getProperties().clone();
        FileChannel[] printed = new FileChannel[] {channel(FileDescriptor.out), channel(FileDescriptor.err)};
        long[] sizes = new long[] {printed[0].size(), printed[1].size()};
        doFirstJob();
        keepWhatIsSetOnce(properties);
        System.setProperties(properties);
        Logging$.MODULE$.uninitialize();
        StartedAhead.forget();
        printed[0].truncate(sizes[0]);
        printed[1].truncate(sizes[1]);
        sayAgain();
        OutputStream ready = new FileOutputStream(arguments[0]);
        ready.write('\n');
        ready.close();
        String told = readAll(System.in);
        if (told.length() < 2) {
            // Whoever started it has ended.
            System.exit(0);
        }
        String[] each = told.substring(1).split("\0", -1);
        String[] rest = new String[each.length - 1];
        System.arraycopy(each, 0, rest, 0, rest.length);
        System.setProperty("sun.java.command", MAIN_CLASS + " " + String.join(" ", rest));
        SparkSubmit.main(rest);
    }

    /** What this reaches first keeps Hadoop's settings for good (SparkHadoopUtil): they are those that every step has. */
    private static void doFirstJob() throws Exception {
        Properties defaults = new Properties();
        InputStream file = new FileInputStream(new File(System.getenv("SPARK_CONF_DIR"), "spark-defaults.conf"));
        defaults.load(file);
        file.close();
        for (Iterator names = defaults.stringPropertyNames().iterator(); names.hasNext(); ) {
            String name = (String) names.next();
            if (name.startsWith("spark.hadoop.")) {
                System.setProperty(name, defaults.getProperty(name));
            }
        }
        Path directory = Files.createTempDirectory("isolated-emr-ahead", new FileAttribute[0]);
        SparkSession spark = SparkSession.builder()
            .master("local[1]")
            .appName("isolated-emr")
            .config("spark.ui.enabled", "false")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.sql.shuffle.partitions", "1")
            .config("spark.sql.warehouse.dir", directory.toUri().toString())
            .getOrCreate();
        runQueries(spark, directory.resolve("numbers").toUri().toString());
        spark.stop();
        SparkSession.clearActiveSession();
        SparkSession.clearDefaultSession();
        Utils.deleteRecursively(directory.toFile());
    }

    /** Runs what a step gains by, in the order of the gain; of steps in a row, each would come before the end of it. */
    private static void runQueries(SparkSession spark, String numbers) throws Exception {
        if (isAwaited(0)) {
            return;
        }
        spark.range(10L).count();
        if (isAwaited(PAUSE_MILLISECONDS)) {
            return;
        }
        spark.range(10L).selectExpr(new String[] {"id", "id % 3 AS part", "cast(id AS string) AS name"}).write().parquet(numbers);
        if (isAwaited(0)) {
            return;
        }
        spark.read().parquet(numbers).createOrReplaceTempView("numbers");
        spark.sql("SELECT part, count(*), max(name) FROM numbers WHERE id > 1 GROUP BY part ORDER BY part").collect();
    }

    /** Whether its step begins within a time; for that step, any more of the first job is a delay. */
    private static boolean isAwaited(int milliseconds) throws IOException, InterruptedException {
        for (int waited = 0; waited < milliseconds && System.in.available() == 0; waited += 20) {
            Thread.sleep(20L);
        }
        return System.in.available() > 0;
    }

    /** What a class sets as it is loaded is not set again by the step, which has loaded that class too (Jetty, with Spark 3.5). */
    private static void keepWhatIsSetOnce(Properties properties) {
        String name = "jetty.git.hash";
        String set = System.getProperty(name);
        if (set != null) {
            properties.setProperty(name, set);
        }
    }

    /** What is said once in a JVM, and was said in the first job. */
    private static void sayAgain() {
        if (!NativeCodeLoader.isNativeCodeLoaded()) {
            LoggerFactory.getLogger(NativeCodeLoader.class).warn(
                "Unable to load native-hadoop library for your platform... using builtin-java classes where applicable");
        }
    }

    private static FileChannel channel(FileDescriptor file) {
        return new FileOutputStream(file).getChannel();
    }

    private static String readAll(InputStream stream) throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] block = new byte[8192];
        for (int count = stream.read(block); count >= 0; count = stream.read(block)) {
            all.write(block, 0, count);
        }
        return new String(all.toByteArray(), StandardCharsets.UTF_8);
    }
}
