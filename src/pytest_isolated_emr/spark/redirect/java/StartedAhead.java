package isolatedemr;

import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;

import org.apache.hadoop.fs.FileSystem;

/** What makes a JVM that was started before its session, and was used once, one that has never been used. */
public final class StartedAhead {
    /** Of what plans show alone: another number may be that of something that is being cleaned up still. */
    private static final String[] COUNTERS = new String[] {
        "org.apache.spark.sql.catalyst.expressions.NamedExpression$.curId",
        "org.apache.spark.sql.classic.Dataset$.curId",
        "org.apache.spark.sql.Dataset$.curId",
        "org.apache.spark.sql.execution.SparkPlan$.nextPlanId",
    };

    private StartedAhead() {}

    /** Forgets what was done before: file systems with their settings, and numbers that plans show. */
    public static void forget() throws IOException {
        FileSystem.closeAll();
        resetCounters();
        System.gc();
    }

    /** Has plans begin with the numbers of a new JVM. */
    public static void resetCounters() {
        for (int i = 0; i < COUNTERS.length; i++) {
            int dot = COUNTERS[i].lastIndexOf('.');
            try {
                Class object = Class.forName(COUNTERS[i].substring(0, dot));
                Field field = object.getDeclaredField(COUNTERS[i].substring(dot + 1));
                field.setAccessible(true);
                reset(field.get(object.getField("MODULE$").get(null)));
            } catch (ReflectiveOperationException absent) {
                // Of another version of Spark.
                continue;
            }
        }
    }

    /**
     * Gives this process another environment, which it and those that it starts see from now on.
     *
     * @param variables NAME=VALUE, each with a null byte after it, in Base64: they need not be text.
     */
    public static void replaceEnvironment(String variables) throws ReflectiveOperationException {
        Class known = Class.forName("java.lang.ProcessEnvironment");
        Field field = known.getDeclaredField("theEnvironment");
        field.setAccessible(true);
        Map environment = (Map) field.get(null);
        Method name = valueOf("Variable");
        Method value = valueOf("Value");
        environment.clear();
        byte[] bytes = Base64.getDecoder().decode(variables);
        int start = 0;
        int separator = -1;
        for (int i = 0; i < bytes.length; i++) {
            if (bytes[i] == '=' && separator < 0) {
                separator = i;
            } else if (bytes[i] == 0) {
                Object[] left = new Object[] {Arrays.copyOfRange(bytes, start, separator)};
                Object[] right = new Object[] {Arrays.copyOfRange(bytes, separator + 1, i)};
                environment.put(name.invoke(null, left), value.invoke(null, right));
                start = i + 1;
                separator = -1;
            }
        }
    }

    private static void reset(Object counter) {
        if (counter instanceof AtomicLong) {
            ((AtomicLong) counter).set(0L);
        } else {
            ((AtomicInteger) counter).set(0);
        }
    }

    private static Method valueOf(String kind) throws ReflectiveOperationException {
        Class found = Class.forName("java.lang.ProcessEnvironment$" + kind);
        Method method = found.getDeclaredMethod("valueOf", new Class[] {byte[].class});
        method.setAccessible(true);
        return method;
    }
}
