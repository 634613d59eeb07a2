#!/usr/bin/env bash
# Ends the cluster that it runs on after some seconds: EMR has no maximum lifetime, and whoever started the cluster may be
# gone. To be run as a bootstrap action.
#
# Usage: lifetime.sh SECONDS GRACE
#   SECONDS  from now until the cluster is terminated
#   GRACE    seconds from then until the primary instance shuts down, in case its role may not terminate
set -u
seconds=$1
grace=$2

real=/mnt/var/lib/info
# The project's own local EMR names a directory of its own, and a variable of its name is in every command's environment.
info=${ISOLATED_EMR_CLUSTER_INFO:-$real}

if ! grep -Eq '"isMaster"[[:space:]]*:[[:space:]]*true' "$info/instance.json"; then
    echo "lifetime: not the primary instance; it counts the time"
    exit 0
fi
value_of() {
    sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$info/$2" 2>/dev/null | head -n 1
}
cluster=$(value_of jobFlowId job-flow.json)
region=$(value_of region extraInstanceData.json)
if [ -z "$cluster" ]; then
    echo "lifetime: no jobFlowId in $info/job-flow.json: the cluster would have no end" >&2
    exit 1
fi

# A text of its own for the timer, as this file may be gone by then.
timer='
cluster=$1 region=$2 seconds=$3 grace=$4 real=$5
sleep "$seconds"
aws emr terminate-clusters ${region:+--region "$region"} --cluster-ids "$cluster"
sleep "$grace"
# Still there: the role may not terminate. A primary instance that is gone ends its cluster.
if [ -n "${ISOLATED_EMR_CLUSTER_DIRECTORY:-}" ]; then
    # The local EMR: this is somebody'"'"'s own machine, and only the cluster may end.
    "$ISOLATED_EMR_CLUSTER_DIRECTORY/bin/shutdown" -h now
elif [ -z "$(compgen -v ISOLATED_EMR_)" ] && [ -f "$real/job-flow.json" ]; then
    sudo shutdown -h now
fi
'
# In a session of its own, with none of this command's streams: EMR waits for their end.
detach=$(command -v setsid || command -v nohup)
"$detach" bash -c "$timer" lifetime "$cluster" "$region" "$seconds" "$grace" "$real" </dev/null >/dev/null 2>&1 &
disown
echo "lifetime: the cluster $cluster ends in $seconds seconds"
