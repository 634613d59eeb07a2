package isolatedemr;

import org.apache.spark.sql.connect.planner.SparkConnectPlanner;
import org.apache.spark.sql.connect.plugin.CommandPlugin;
import org.apache.spark.sql.connect.service.SparkConnectService$;
import org.sparkproject.connect.protobuf.Any;
import scala.Option;
import scala.runtime.BoxedUnit;

/** The commands as Spark 3.5 calls them. */
public final class IsolationPlugin extends IsolationCommands implements CommandPlugin {
    public Option process(Any command, SparkConnectPlanner planner) {
        boolean isOurs = this.run(command, planner.session());
        return isOurs ? Option.apply(BoxedUnit.UNIT) : Option.empty();
    }

    protected void end(String user, String session) {
        SparkConnectService$.MODULE$.invalidateSession(user, session);
    }
}
