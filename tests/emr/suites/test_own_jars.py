"""Steps with a jar of the user's own, and jobs with packages."""

import re
import zipfile
from pathlib import Path

import boto3
import pytest
from java_jars import make_jar

emr = boto3.client("emr")
REPOSITORY = Path(__file__).parent / "repository"


@pytest.fixture(scope="module")
def put(s3, session_scratch):
    def put(name, data):
        s3.put_object(Bucket=session_scratch.bucket, Key=f"{session_scratch.prefix}/{name}", Body=data)
        return f"{session_scratch}/{name}"

    return put


@pytest.fixture(scope="module")
def jar(put, tmp_path_factory):
    made = make_jar(tmp_path_factory.mktemp("jar"), manifest_class="com.example.Main")
    return put("with-manifest.jar", made.read_bytes())


@pytest.fixture(scope="module")
def plain_jar(put, tmp_path_factory):
    return put("plain.jar", make_jar(tmp_path_factory.mktemp("jar")).read_bytes())


@pytest.fixture
def run_jar(emr_cluster, isolated_emr):
    """Run a jar as a step; return its state, and its logs by name."""

    def run(jar, *arguments, **more):
        jar_step = {"Jar": jar, "Args": list(arguments), **more}
        step = {"Name": "s", "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar_step}
        step_id = emr.add_job_flow_steps(JobFlowId=emr_cluster, Steps=[step])["StepIds"][0]
        # A step of nothing, which waits for the one before it.
        done = [{**step, "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["true"]}}]
        last = emr.add_job_flow_steps(JobFlowId=emr_cluster, Steps=done)["StepIds"][0]
        emr.get_waiter("step_complete").wait(ClusterId=emr_cluster, StepId=last)
        status = emr.describe_step(ClusterId=emr_cluster, StepId=step_id)["Step"]["Status"]
        logs = isolated_emr._session.directory / "clusters" / emr_cluster / "logs" / "steps" / step_id
        return status, {path.name: path.read_text() for path in logs.iterdir()}

    return run


def test_the_main_class_of_the_manifest(run_jar, jar):
    properties = [{"Key": "com.example.mode", "Value": "of the step"}]
    status, logs = run_jar(jar, "one", "two words", Properties=properties)
    assert status["State"] == "COMPLETED", logs["stderr"]
    assert logs["stdout"] == "arguments: [one, two words]\nproperty: of the step\n"


def test_a_main_class_of_the_step(run_jar, plain_jar):
    status, logs = run_jar(plain_jar, "one", MainClass="com.example.Main")
    assert status["State"] == "COMPLETED", logs["stderr"]
    assert logs["stdout"] == "arguments: [one]\nproperty: null\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["exit", "7"], 7, None),
        (["exit", "0"], 0, None),
        (["throw"], 1, 'Exception in thread "main" java.lang.IllegalStateException: it went wrong'),
    ],
)
def test_how_a_jar_ends(run_jar, jar, arguments, code, message):
    status, logs = run_jar(jar, *arguments)
    assert status["State"] == ("FAILED" if code else "COMPLETED")
    assert f"with exitCode {code} " in logs["controller"]
    assert status.get("FailureDetails", {}).get("Message") == message


@pytest.mark.parametrize("name", ["text.jar", "empty.jar", "missing.jar"])
def test_a_jar_that_is_none(run_jar, put, name):
    url = put("text.jar", b"no jar").replace("text.jar", name)
    put("empty.jar", b"")
    status, logs = run_jar(url)
    assert status["State"] == "FAILED"
    assert name in logs["stderr"]
    if name != "missing.jar":
        assert "Error opening job jar" in logs["stderr"]
        # Of what a stack trace says, the cause is the reason.
        assert "java.util.zip.ZipException" in status["FailureDetails"]["Message"]


def test_a_main_class_that_is_not_there(run_jar, plain_jar):
    status, logs = run_jar(plain_jar, MainClass="com.example.None")
    assert status["State"] == "FAILED"
    assert "java.lang.ClassNotFoundException: com.example.None" in status["FailureDetails"]["Message"]
    # Without a manifest the first argument is the class, as Hadoop has it.
    status, logs = run_jar(plain_jar, "com.example.Main", "x")
    assert logs["stdout"].startswith("arguments: [x]\n")


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_spark_submit_with_a_jar(run_step, plain_jar, scratch, spark, mode):
    out = f"{scratch}/out"
    submitted = ("spark-submit", "--deploy-mode", mode, "--class", "com.example.Job", plain_jar, out)
    result = run_step(*submitted)
    assert "master: local[" in result.stdout
    assert spark.read.parquet(out).count() == 5
    failed = run_step(*submitted[:-1], f"{scratch}/again", "3", check=False)
    code = 3 if mode == "client" else 1
    assert f"Step failed with exitCode {code} " in (failed.log / "controller").read_text()


def test_spark_submit_without_the_class(run_step, plain_jar):
    lacking = run_step("spark-submit", "--class", "com.example.None", plain_jar, check=False)
    assert lacking.state == "FAILED"
    assert "Failed to load class com.example.None" in lacking.stderr


def test_hadoop_jar(run_step, s3, plain_jar, tmp_path):
    bucket, _, key = plain_jar.removeprefix("s3://").partition("/")
    s3.download_file(bucket, key, str(tmp_path / "a.jar"))
    for program in ("hadoop", "/usr/bin/yarn"):
        assert (
            "arguments: [x]"
            in run_step(program, "jar", str(tmp_path / "a.jar"), "com.example.Main", "x").stdout
        )
    assert "Hadoop 3" in run_step("hadoop", "version").stdout
    for line in (["yarn", "logs", "-applicationId", "x"], ["hadoop", "distcp", "a", "b"]):
        assert f'"{line[0]} {line[1]}" is not here' in run_step(*line, check=False).stderr
    for name in ("hadoop-streaming.jar", "hadoop-mapreduce-examples.jar"):
        lacking = run_step("hadoop", "jar", f"/usr/lib/hadoop-mapreduce/{name}", "pi", check=False)
        assert lacking.state == "FAILED"
        assert name in lacking.stderr


def test_spark_shell(run_step):
    said = run_step(
        "bash", "-c", "echo 'println(40 + spark.range(2).count())' | /usr/bin/env spark-shell --master yarn"
    )
    assert "42" in said.stdout
    assert run_step("spark-shell").state == "COMPLETED"


@pytest.mark.parametrize(
    "command",
    [
        ["spark-example", "SparkPi", "2"],
        [
            "/usr/lib/spark/bin/run-example",
            "--deploy-mode",
            "cluster",
            "org.apache.spark.examples.SparkPi",
            "2",
        ],
    ],
)
def test_the_example_that_guides_and_operators_run(run_step, command):
    assert "Pi is roughly 3.1" in run_step(*command).stdout


def test_pyspark_takes_no_script(run_step):
    result = run_step("pyspark", "job.py", check=False)
    assert result.state == "FAILED"
    assert "Running python applications through 'pyspark' is not supported" in result.stderr


# Packages: of a repository that the suite's ini names in the place of Maven Central.

WITH_PACKAGES = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
loader = spark._jvm.java.lang.Thread.currentThread().getContextClassLoader()
for name in ("one", "two", "extra"):
    print(name, loader.getResource(f"com/example/{name}.txt") is not None)
import in_a_package
print("python", in_a_package.NAME)
"""


def add_module(root, name, *needs):
    directory = root / "com" / "example" / name / "1.0"
    directory.mkdir(parents=True)
    wanted = "".join(
        f"<dependency><groupId>com.example</groupId><artifactId>{need}</artifactId><version>1.0</version></dependency>"
        for need in needs
    )
    (directory / f"{name}-1.0.pom").write_text(
        f"<project><modelVersion>4.0.0</modelVersion><groupId>com.example</groupId><artifactId>{name}</artifactId>"
        f"<version>1.0</version><dependencies>{wanted}</dependencies></project>"
    )
    with zipfile.ZipFile(directory / f"{name}-1.0.jar", "w") as archive:
        archive.writestr(f"com/example/{name}.txt", name)
        if name == "one":
            archive.writestr("in_a_package.py", "NAME = 'from the jar'")


@pytest.fixture(scope="module")
def job(put, tmp_path_factory):
    add_module(REPOSITORY, "one", "two")
    add_module(REPOSITORY, "two")
    return put("packages.py", WITH_PACKAGES.encode())


@pytest.fixture(scope="module")
def extra_repository(tmp_path_factory):
    root = tmp_path_factory.mktemp("extra")
    add_module(root, "extra")
    return root.as_uri()


def found(result):
    return re.findall(r"^(\w+) (True|False)$", result.stdout, re.MULTILINE)


def test_packages_of_the_command_line(run_step, job, isolated_emr):
    result = run_step("spark-submit", "--packages", "com.example:one:1.0", job)
    assert found(result) == [("one", "True"), ("two", "True"), ("extra", "False")]
    assert "python from the jar" in result.stdout
    assert "isolated-emr: resolving one 1.0" in result.stderr
    # They are in the cache, for this and all later sessions.
    again = run_step("spark-submit", "--deploy-mode", "cluster", "--packages=com.example:one:1.0", job)
    assert found(again) == found(result)
    assert "resolving" not in (again.log / "stderr").read_text()


def test_packages_of_settings(make_cluster, run_step, job, extra_repository):
    settings = {
        "spark.jars.packages": "com.example:one:1.0,com.example:extra:1.0",
        "spark.jars.excludes": "com.example:two",
        "spark.jars.repositories": extra_repository,
    }
    of_cluster = make_cluster(Configurations=[{"Classification": "spark-defaults", "Properties": settings}])
    result = run_step("spark-submit", job, cluster=of_cluster)
    assert found(result) == [("one", "True"), ("two", "False"), ("extra", "True")]
    conf = [part for key, value in settings.items() for part in ("--conf", f"{key}={value}")]
    assert found(run_step("spark-submit", *conf, job)) == found(result)
    options = ("--exclude-packages", "com.example:two", "--repositories", extra_repository)
    by_options = run_step("spark-submit", "--packages", settings["spark.jars.packages"], *options, job)
    assert found(by_options) == found(result)


def test_packages_that_are_not_there(run_step, job):
    result = run_step("spark-submit", "--packages", "com.example:none:1.0", job, check=False)
    assert result.state == "FAILED"
    assert "IE107" in result.stderr
    assert "com.example:none:1.0" in result.stderr
