"""The header by which a client of ours asks DescribeStep and DescribeCluster to wait."""

#: How long the answer may wait, in seconds.
WAIT_HEADER = "x-isolated-emr-wait"
