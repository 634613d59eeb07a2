package isolatedemr;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

import org.apache.spark.sql.SparkSession;
import org.sparkproject.connect.protobuf.Any;

/**
 * The commands by which a client keeps its tests apart: "mark NAME" remembers what the sessions of this Spark share now,
 * "restore NAME" removes what has come since. What is remembered stays here, so each is one call.
 *
 * A command's type is its URL, isolatedemr/mark or isolatedemr/restore. Its value has the name in the first line. In
 * those after it are sessions to end first, each with its id, a blank and its user.
 *
 * Of a server that was started before its session isolatedemr/forget takes the numbers that plans show back to their
 * beginning, and isolatedemr/environment gives it the variables of its value, see StartedAhead.
 */
public abstract class IsolationCommands {
    private static final String TYPE = "isolatedemr/";
    private static final Map MARKS = new ConcurrentHashMap();

    /** Runs a command if it is one of these; tells whether it was. */
    protected boolean run(Any command, SparkSession session) {
        String type = command.getTypeUrl();
        String[] lines = command.getValue().toStringUtf8().split("\n");
        if (type.equals(TYPE + "mark")) {
            MARKS.put(lines[0], new SharedMark(session));
        } else if (type.equals(TYPE + "restore")) {
            for (int i = 1; i < lines.length; i++) {
                int blank = lines[i].indexOf(' ');
                this.end(lines[i].substring(blank + 1), lines[i].substring(0, blank));
            }
            SharedMark mark = (SharedMark) MARKS.remove(lines[0]);
            if (mark == null) {
                throw new IllegalArgumentException("there is no mark " + lines[0]);
            }
            mark.restore(session);
        } else if (type.equals(TYPE + "environment")) {
            takeEnvironment(command.getValue().toStringUtf8());
        } else if (type.equals(TYPE + "forget")) {
            StartedAhead.resetCounters();
        } else {
            return false;
        }
        return true;
    }

    private static void takeEnvironment(String variables) {
        try {
            StartedAhead.replaceEnvironment(variables);
        } catch (ReflectiveOperationException error) {
            throw new IllegalStateException(error);
        }
    }

    /** Ends a session that its client has left. */
    protected abstract void end(String user, String session);
}
