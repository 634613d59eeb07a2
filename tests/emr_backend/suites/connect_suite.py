"""A suite whose Spark is a session of EMR's; its conftest is connect_conftest.py."""

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import as_package
import extra
import pytest
from near import plus_ten
from pyspark import SparkContext
from pyspark.sql import SparkSession
from pyspark.sql.functions import col, udf
from pyspark.sql.types import IntegerType, LongType
from shop.prices import twice

TEN_TIMES = col("id") * 10
LEFT = {}


def own(x):
    return x + 100


def tables(session, database="default"):
    return sorted(table.name for table in session.catalog.listTables(database) if not table.isTemporary)


def global_views(session):
    return sorted(table.name for table in session.catalog.listTables("global_temp") if table.isTemporary)


def databases(session):
    return sorted(database.name for database in session.catalog.listDatabases())


# Sessions


def test_the_first_session(spark_session, keeper):
    assert spark_session.range(3).count() == 3
    assert SparkSession.builder.master("yarn").appName("job").getOrCreate() is spark_session
    [(_, fields)] = [asked for asked in keeper.asked if asked[0] == "start_spark"]
    assert fields == {
        "properties": {
            "spark.connect.session.manager.defaultSessionTimeout": "24h",
            "spark.connect.execute.reattachable.senderMaxStreamDuration": "1s",
        }
    }
    assert not os.environ["SPARK_REMOTE"].startswith("sc://isolated-emr.invalid")


def test_one_token_for_an_hour(spark, keeper):
    assert spark.range(3).count() == 3
    assert keeper.count("spark_gateway") == keeper.count("start_spark")


def test_another_server_is_not_reached(notes):
    from pyspark.sql.connect.session import SparkSession as Remote

    assert Remote.builder.remote("sc://production:15002").create().range(2).count() == 2
    assert any("spark.remote: set by the suite, left out" in note for note in notes)


def test_a_session_of_the_tests_own_is(keeper):
    from pyspark.sql.connect.session import SparkSession as Remote

    own = keeper.emr.start_session(ClusterId=keeper.cluster, Name="own")["Id"]
    deadline = time.monotonic() + 120
    described = {"State": ""}
    while described["State"] != "IDLE":
        assert time.monotonic() < deadline, described
        described = keeper.emr.get_session(ClusterId=keeper.cluster, SessionId=own)["Session"]
        time.sleep(0.05)
    answer = keeper.emr.get_session_endpoint(ClusterId=keeper.cluster, SessionId=own)
    host = answer["Endpoint"].removeprefix("http://")
    session = Remote.builder.remote(
        f"sc://{host}/;x-aws-proxy-auth={answer['AuthToken']};authorization={own}"
    ).create()
    reattach = "spark.connect.execute.reattachable.senderMaxStreamDuration"
    assert session.conf.get(reattach) != "1s"
    assert SparkSession.builder.getOrCreate().conf.get(reattach) == "1s"
    session.stop()
    keeper.emr.terminate_session(ClusterId=keeper.cluster, SessionId=own)


@pytest.mark.parametrize(
    "what", [lambda s: s.sparkContext, lambda s: s.range(1).rdd, lambda s: SparkContext.getOrCreate()]
)
def test_what_is_not_there(spark, what):
    with pytest.raises(AttributeError, match=r"(?s)IE510.*EMR cluster.*run_step"):
        what(spark)


# The suite's code in workers


@pytest.mark.parametrize(
    ("function", "expected"),
    [(twice, 2), (plus_ten, 11), (own, 101), (extra.thrice, 3), (as_package.four_times, 4)],
)
def test_functions_of_every_module(spark, function, expected):
    for sent in (function, lambda x: function(x)):
        assert spark.range(1, 2).select(udf(sent, LongType())("id")).collect()[0][0] == expected


def test_what_was_made_at_import(spark):
    assert spark.range(1, 2).select(TEN_TIMES).collect()[0][0] == 10


def test_installed_packages_are_not_sent(spark):
    def where(_x):
        import sys

        sent = [path for path in sys.path if path.endswith(".zip") and "modules-" in path]
        import zipfile

        return ",".join(name for path in sent for name in zipfile.ZipFile(path).namelist())

    sent = spark.range(1).select(udf(where, "string")("id")).collect()[0][0].split(",")
    assert "shop/prices.py" in sent
    assert not [name for name in sent if "in_a_venv" in name or "site-packages" in name]


# Isolation


@pytest.fixture(scope="module")
def wider(spark_session):
    """What a wider fixture made stays."""
    spark_session.range(7).write.saveAsTable("wide")
    spark_session.range(11).createOrReplaceGlobalTempView("wide_view")
    spark_session.sql("CREATE DATABASE wide_database")
    return spark_session.range(5).cache()


def test_leaves_things(spark, wider, tmp_path):
    spark.sql("CREATE DATABASE left_database")
    spark.range(3).write.saveAsTable("left_table")
    spark.range(3).write.saveAsTable("left_database.t")
    spark.range(3).write.saveAsTable("wide_database.t")
    spark.sql("CREATE VIEW left_stored_view AS SELECT 1 AS one")
    spark.range(3).createOrReplaceTempView("left_view")
    spark.range(3).createOrReplaceGlobalTempView("left_global_view")
    spark.sql("CREATE FUNCTION left_database.left_function AS 'org.example.Nothing'")
    spark.sql("USE left_database")
    spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    assert not spark.range(98).storageLevel.useMemory
    spark.range(98).cache().count()
    # It is cached already, by others.
    spark.range(5).cache().count()
    spark.udf.register("left_udf", lambda x: x + 1, IntegerType())
    LEFT["precious"] = tmp_path / "precious"
    LEFT["precious"].write_text("mine")
    spark.sql(f"CREATE DATABASE risky LOCATION 'file:{tmp_path}'")
    spark.range(3).write.saveAsTable("risky.t")
    spark.sql("CREATE TABLE of_stream (timestamp TIMESTAMP, value LONG) USING parquet")
    stream = spark.readStream.format("rate").load().writeStream
    stream.option("checkpointLocation", f"file:{tmp_path}/checkpoint").toTable("of_stream")
    other = SparkSession.builder.create()
    other.range(3).write.saveAsTable("of_the_other")
    LEFT["other"] = other


def test_sees_none_of_them(spark, wider):
    assert tables(spark) == ["wide"]
    assert databases(spark) == ["default", "wide_database"]
    assert tables(spark, "wide_database") == []
    assert global_views(spark) == ["wide_view"]
    assert spark.catalog.currentDatabase() == "default"
    assert spark.conf.get("spark.sql.session.timeZone") != "Asia/Tokyo"
    assert not [function for function in spark.catalog.listFunctions() if function.name == "left_udf"]
    assert not spark.streams.active
    assert wider.count() == 5
    assert wider.storageLevel.useMemory
    assert not spark.range(98).storageLevel.useMemory
    assert LEFT["other"].is_stopped
    assert LEFT["precious"].read_text() == "mine"
    assert not (LEFT["precious"].parent / "t").exists()
    # The same names can be used again: the files are gone as well.
    spark.range(1).write.saveAsTable("left_table")
    spark.range(1).write.saveAsTable("of_stream")


def test_a_job_gets_the_tests_session(spark, spark_session):
    assert SparkSession.builder.config("spark.executor.memory", "9g").getOrCreate() is spark
    assert SparkSession.getActiveSession() is spark
    assert spark is not spark_session


def test_a_job_stops_its_session(spark):
    spark.range(1).write.saveAsTable("before_the_stop")
    SparkSession.builder.getOrCreate().stop()


def test_the_next_test_has_one(spark):
    assert "before_the_stop" not in tables(spark)


def test_few_calls_for_a_test(isolation, monkeypatch):
    from pyspark.sql.connect.proto.base_pb2_grpc import SparkConnectServiceStub

    calls = []
    original = SparkConnectServiceStub.__init__

    def count(stub):
        for name in ("ExecutePlan", "AnalyzePlan", "Config", "AddArtifacts", "ReleaseSession"):
            monkeypatch.setattr(stub, name, counting(name, getattr(stub, name)))

    def counting(name, call):
        def made(*args, **kwargs):
            calls.append(name)
            return call(*args, **kwargs)

        return made

    def make(stub, channel):
        original(stub, channel)
        count(stub)

    count(isolation._own.client._stub)
    monkeypatch.setattr(SparkConnectServiceStub, "__init__", make)
    with isolation.fresh_session():
        pass
    # To look, to end, to look again.
    assert calls == ["ExecutePlan", "ReleaseSession", "ExecutePlan"]
    calls.clear()
    with isolation.fresh_session() as session:
        for _ in range(2):
            assert session.range(1, 2).select(udf(twice, LongType())("id")).collect()[0][0] == 2
    # The suite's code is an archive, and a file of the ini setting.
    assert calls.count("AddArtifacts") == 2


def test_a_process_of_its_own_shares_the_server(spark_session):
    code = "from pyspark.sql import SparkSession; print(SparkSession.builder.getOrCreate().range(3).count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "3", done.stderr


# Tokens


@pytest.fixture
def tokens_of_a_second(keeper, spark_session, runtime):
    """From here on each token is soon refused, and so is the one that is known now."""
    keeper.token_seconds = 1.0
    token = runtime._access._token
    token._expires = time.time()
    runtime.status()
    yield keeper
    keeper.token_seconds = None
    runtime.status()


def until_the_token_ends(runtime):
    deadline = runtime._access._token._expires
    while time.time() <= deadline:
        time.sleep(0.02)


def test_calls_get_a_token_that_holds(tokens_of_a_second, spark, runtime):
    from pyspark.errors.exceptions.connect import SparkConnectGrpcException

    old = os.environ["SPARK_REMOTE"]
    until_the_token_ends(runtime)
    renewed = tokens_of_a_second.count("spark_gateway")
    assert spark.range(4).count() == 4
    assert tokens_of_a_second.count("spark_gateway") > renewed
    assert os.environ["SPARK_REMOTE"] != old
    # What has no other token than that one is refused by the gate.
    code = "import sys; from pyspark.sql import SparkSession; SparkSession.builder.remote(sys.argv[1]).getOrCreate().range(3).count()"
    done = subprocess.run([sys.executable, "-c", code, old], capture_output=True, text=True, timeout=120)
    assert "the token has expired" in done.stderr
    assert SparkConnectGrpcException.__name__ in done.stderr


def test_so_do_uploads(tokens_of_a_second, spark, runtime, tmp_path):
    until_the_token_ends(runtime)
    (tmp_path / "late.py").write_text("def five(x): return 5\n")
    spark.addArtifacts(str(tmp_path / "late.py"), pyfile=True)

    def five(x):
        import late

        return late.five(x)

    assert spark.range(1).select(udf(five, "int")("id")).collect()[0][0] == 5


def test_so_do_operations_that_outlast_theirs(tokens_of_a_second, spark, runtime, tmp_path, monkeypatch):
    """The server ends the stream of results after a second, and the client comes back for the others."""
    came_back = threading.Event()
    stub = spark.client._stub
    original = stub.ReattachExecute

    def reattach(*args, **kwargs):
        if time.time() > ends:
            came_back.set()
        return original(*args, **kwargs)

    monkeypatch.setattr(stub, "ReattachExecute", reattach)
    go = str(tmp_path / "go")

    def wait(_x):
        import os
        import time

        while not os.path.exists(go):
            time.sleep(0.02)
        return 1

    ends = float("inf")
    with ThreadPoolExecutor(1) as pool:
        counted = pool.submit(spark.range(1).select(udf(wait, "int")("id")).collect)
        ends = time.time() + tokens_of_a_second.token_seconds
        assert came_back.wait(120)
        open(go, "w").close()
        assert counted.result(timeout=120)[0][0] == 1


def test_the_server_wants_other_settings(spark_session, keeper, runtime, notes):
    """As a marker does."""
    runtime.end_context()
    other = SparkSession.builder.config("spark.my.setting", "mine").getOrCreate()
    assert other.conf.get("spark.my.setting") == "mine"
    assert keeper.count("start_spark") == 2
    assert spark_session.is_stopped
