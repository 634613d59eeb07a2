package isolatedemr;

import org.apache.spark.sql.connect.planner.SparkConnectPlanner;
import org.apache.spark.sql.connect.plugin.CommandPlugin;
import org.apache.spark.sql.connect.service.SessionKey;
import org.apache.spark.sql.connect.service.SparkConnectService$;
import org.sparkproject.connect.protobuf.Any;
import org.sparkproject.connect.protobuf.InvalidProtocolBufferException;

/** The commands as Spark 4 calls them. */
public final class IsolationPlugin extends IsolationCommands implements CommandPlugin {
    public boolean process(byte[] command, SparkConnectPlanner planner) {
        Any parsed;
        try {
            parsed = Any.parseFrom(command);
        } catch (InvalidProtocolBufferException error) {
            throw new IllegalArgumentException("the command is no message of protobuf's", error);
        }
        return this.run(parsed, planner.session());
    }

    protected void end(String user, String session) {
        SparkConnectService$.MODULE$.sessionManager().closeSession(new SessionKey(user, session), false);
    }
}
