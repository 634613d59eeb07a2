"""Programs of EMR's instances in steps and bootstrap actions; none here needs Spark."""

import gzip
import os
import shutil
import stat
import sys

import boto3
import pytest

emr = boto3.client("emr")


@pytest.fixture
def put(s3, scratch):
    def put(name, data):
        s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/{name}", Body=data)
        return f"{scratch}/{name}"

    return put


@pytest.fixture
def objects(s3, scratch):
    """The objects below a prefix of the test's scratch, by their names."""

    def objects(below):
        prefix = f"{scratch.prefix}/{below}/"
        listed = s3.list_objects_v2(Bucket=scratch.bucket, Prefix=prefix).get("Contents", [])
        return {
            entry["Key"].removeprefix(prefix): s3.get_object(Bucket=scratch.bucket, Key=entry["Key"])[
                "Body"
            ].read()
            for entry in listed
        }

    return objects


@pytest.fixture
def logs_in(put):
    for hour in ("00", "01"):
        for minute in ("a", "b"):
            put(f"in/2026-11-{hour}/{minute}.log", f"{hour}{minute}\n".encode())
    return put("in/readme.txt", b"no log").rpartition("/")[0]


def run_jar(cluster, jar, *arguments, **more):
    step = {
        "Name": "s",
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": jar, "Args": list(arguments), **more},
    }
    step_id = emr.add_job_flow_steps(JobFlowId=cluster, Steps=[step])["StepIds"][0]
    waiter = emr.get_waiter("step_complete")
    try:
        waiter.wait(ClusterId=cluster, StepId=step_id)
    finally:
        status = emr.describe_step(ClusterId=cluster, StepId=step_id)["Step"]["Status"]
    return status


class TestS3DistCp:
    def test_it_copies_a_tree(self, run_step, logs_in, put, objects, scratch):
        copied = objects("in")
        # Objects that stand for directories, as the console and Hadoop make them, are no files.
        put("in/empty/", b"")
        put("in/empty_$folder$", b"")
        run_step("s3-dist-cp", "--src", logs_in, f"--dest={scratch}/out/", "-Dmapreduce.job.reduces=2")
        assert objects("out") == copied
        assert len(copied) == 5

    def test_it_copies_to_hdfs_and_back(self, run_step, emr_cluster, logs_in, objects, scratch):
        run_step("s3-dist-cp", "--src", logs_in, "--dest", "hdfs:///data/logs", "--srcPattern", r".*\.log")
        run_step("/usr/bin/s3-dist-cp", "--src=/data/logs/2026-11-01", f"--dest={scratch}/back")
        assert objects("back") == {"a.log": b"01a\n", "b.log": b"01b\n"}

    def test_it_copies_to_the_machine_and_one_file(self, run_step, put, tmp_path):
        one = put("one/file.txt", b"one")
        run_step("s3-dist-cp", "--src", one, "--dest", tmp_path.as_uri())
        assert (tmp_path / "file.txt").read_bytes() == b"one"

    def test_it_puts_files_together(self, run_step, logs_in, objects, scratch):
        run_step(
            "s3-dist-cp",
            "--src",
            logs_in,
            "--dest",
            f"{scratch}/out",
            r"--groupBy=.*/2026-11-(\d\d)/.*\.(log)",
        )
        assert objects("out") == {"2026-11-00/00log": b"00a\n00b\n", "2026-11-01/01log": b"01a\n01b\n"}

    def test_it_parts_groups_by_size(self, run_step, put, objects, scratch):
        megabyte = os.urandom(1 << 20)
        for number in range(3):
            put(f"in/part-{number}.gz", gzip.compress(megabyte, compresslevel=0))
        run_step(
            *("s3-dist-cp", "--src", f"{scratch}/in", "--dest", f"{scratch}/out"),
            *("--groupBy", ".*/(part)-.*", "--targetSize", "2", "--deleteOnSuccess"),
        )
        made = objects("out")
        assert list(made) == ["part0.gz", "part1.gz"]
        assert gzip.decompress(made["part0.gz"]) == megabyte * 2
        assert gzip.decompress(made["part1.gz"]) == megabyte
        assert objects("in") == {}

    def test_it_compresses_and_decompresses(self, run_step, put, objects, scratch):
        place = put("in/a.txt", b"plain").rpartition("/")[0]
        run_step("s3-dist-cp", "--src", place, "--dest", f"{scratch}/packed", "--outputCodec=gz")
        assert {name: gzip.decompress(data) for name, data in objects("packed").items()} == {
            "a.txt.gz": b"plain"
        }
        run_step(
            "s3-dist-cp", "--src", f"{scratch}/packed", "--dest", f"{scratch}/plain", "--outputCodec", "none"
        )
        assert objects("plain") == {"a.txt": b"plain"}

    @pytest.mark.parametrize(
        ("more", "said"),
        [
            (["--outputManifest=m.gz"], "the option --outputManifest is not here"),
            (["--outputCodec=lzo"], "the codec lzo is not here"),
            (["--outputCodec=zip"], "no codec 'zip'"),
            (["--groupBy=.*"], "needs a group in parentheses"),
            (["--srcPattern=("], "no regular expression"),
            (["--noSuchOption"], "unrecognized arguments: --noSuchOption"),
        ],
    )
    def test_what_is_not_here_is_said(self, run_step, logs_in, objects, scratch, more, said):
        result = run_step("s3-dist-cp", "--src", logs_in, "--dest", f"{scratch}/out", *more, check=False)
        assert result.state == "FAILED"
        assert said in result.stderr
        assert objects("out") == {}

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            ("s3://no-such-bucket/x", "NoSuchBucket"),
            ("hdfs:///none", "No such file or directory: hdfs:///none"),
            ("ftp://host/x", 'No FileSystem for scheme "ftp"'),
        ],
    )
    def test_a_source_that_is_not_there(self, run_step, scratch, source, said):
        result = run_step("s3-dist-cp", "--src", source, "--dest", str(scratch), check=False)
        assert result.state == "FAILED"
        assert said in result.stderr

    def test_its_jar_of_old_releases(self, emr_cluster, put, objects, scratch):
        one = put("in/a.txt", b"x")
        for number, jar in enumerate(
            ["/usr/share/aws/emr/s3-dist-cp/lib/s3-dist-cp.jar", "/home/hadoop/lib/emr-s3distcp-1.0.jar"]
        ):
            run_jar(emr_cluster, jar, "--src", one, "--dest", f"{scratch}/out{number}")
            assert objects(f"out{number}") == {"a.txt": b"x"}


@pytest.mark.parametrize(
    "program",
    ["hive", "hive-script", "pig", "presto-cli", "trino-cli", "hbase", "flink", "sqoop", "hadoop-streaming"],
)
def test_a_program_that_is_not_here_says_so(run_step, program):
    for word in (program, f"/usr/bin/{program}"):
        result = run_step(word, "--version", check=False)
        assert result.state == "FAILED"
        assert f"isolated-emr: {program} is not here: " in result.stderr
    assert "Step failed with exitCode 127" in (result.log / "controller").read_text()


def test_a_program_that_nobody_knows(run_step, emr_cluster):
    result = run_step("no-such-program", "x", check=False)
    assert result.state == "FAILED"
    assert (
        'Cannot run program "no-such-program" (in directory "."): error=2, No such file or directory'
        in result.stderr
    )
    details = emr.describe_step(ClusterId=emr_cluster, StepId=result.step_id)["Step"]["Status"][
        "FailureDetails"
    ]
    assert "Cannot run program" in details["Message"]


def test_a_streaming_jar_is_not_here(emr_cluster):
    with pytest.raises(Exception, match="StepComplete"):
        run_jar(emr_cluster, "/home/hadoop/contrib/streaming/hadoop-streaming.jar", "-input", "x")
    newest = emr.list_steps(ClusterId=emr_cluster)["Steps"][0]
    assert newest["Status"]["State"] == "FAILED"


def test_an_example_that_is_not_here(run_step):
    result = run_step("spark-example", "--master", "yarn", "SparkTC", "10", check=False)
    assert result.state == "FAILED"
    assert "the example SparkTC is not here" in result.stderr
    assert "let SPARK_HOME be a distribution of Spark" in result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["sudo", "yum", "install", "-y", "htop"],
        ["sudo", "/usr/bin/yum", "install", "-y", "htop"],
        ["sudo", "amazon-linux-extras", "install", "epel", "-y"],
        ["sudo", "systemctl", "restart", "hadoop-yarn-resourcemanager"],
        ["/usr/bin/systemctl", "stop", "x"],
        ["state-pusher-script"],
    ],
)
def test_nothing_is_done_to_the_machine(run_step, command):
    assert "nothing is done" in run_step(*command).stderr


def test_paths_of_programs_of_the_instances(run_step, isolated_emr):
    result = run_step("/usr/bin/python3", "-c", "import pyspark, sys; print(sys.executable)")
    if isolated_emr.backend == "docker":
        assert result.stdout.startswith("/usr/bin/python3")
    else:
        assert result.stdout.strip() == sys.executable
    assert run_step("/bin/echo", "of the machine").stdout == "of the machine\n"


def test_a_command_line_of_aws(run_step, put, scratch, make_cluster, isolated_emr):
    """The machine's own, or here one that a bootstrap action brings, is found and meets the session's S3."""
    program = (
        b"#!/bin/sh\nmkdir -p $PIP_TARGET/bin\ncp $1 $PIP_TARGET/bin/aws\nchmod +x $PIP_TARGET/bin/aws\n"
    )
    aws = scratch.path / "aws"
    aws.write_text(
        "#!/usr/bin/env python3\nimport boto3, sys\n"
        "print(boto3.client('s3').list_objects_v2(Bucket=sys.argv[1])['Contents'][0]['Key'])\n"
    )
    action = {
        "Name": "aws",
        "ScriptBootstrapAction": {"Path": put("install.sh", program), "Args": [str(aws)]},
    }
    cluster = make_cluster(BootstrapActions=[action])
    assert run_step("aws", scratch.bucket, cluster=cluster).stdout.strip()
    # The last place on PATH has what speaks for programs that are nowhere else.
    lacking = run_step("bash", "-c", "PATH=${PATH##*:} aws s3 ls", check=False)
    assert lacking.state == "FAILED"
    assert "isolated-emr: aws is not here: install the AWS command line" in lacking.stderr
    if isolated_emr.backend == "local" and shutil.which("aws") is not None:
        put("seen.txt", b"x")
        assert "seen.txt" in run_step("aws", "s3", "ls", f"{scratch}/").stdout


def test_a_script_without_an_interpreter(emr_cluster, put, tmp_path):
    script = put("plain.sh", f"echo ran > {tmp_path}/ran\n".encode())
    assert run_jar(
        emr_cluster, "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar", script
    )
    assert (tmp_path / "ran").read_text() == "ran\n"


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "{}"])
def test_a_script_of_the_machine(emr_cluster, tmp_path, form):
    script = tmp_path / "of the machine.sh"
    script.write_text(f"#!/bin/sh\necho $1 > '{tmp_path}/ran'\n")
    script.chmod(0o700)
    run_jar(
        emr_cluster, "s3://elasticmapreduce/libs/script-runner/script-runner.jar", form.format(script), "x"
    )
    assert (tmp_path / "ran").read_text() == "x\n"


def test_run_if(make_cluster, put, tmp_path):
    script = put("script.sh", f"#!/bin/sh\necho script $1 >> {tmp_path}/ran\n".encode())
    asked = [
        ("instance.isMaster=true", "echo", "master", f">> {tmp_path}/ran"),
        ("instance.isMaster=false", "echo", "core", f">> {tmp_path}/ran"),
        ("instance.isMaster=true", script, "argument"),
    ]
    run_if = "s3://us-east-1.elasticmapreduce/bootstrap-actions/run-if"
    actions = [
        {"Name": "n", "ScriptBootstrapAction": {"Path": run_if, "Args": list(arguments)}}
        for arguments in asked
    ]
    make_cluster(BootstrapActions=actions)
    assert (tmp_path / "ran").read_text() == "master\nscript argument\n"


def test_a_step_that_reads_standard_input_meets_its_end(run_step):
    assert run_step("bash", "-c", "cat; read x || echo nothing").stdout == "nothing\n"


def test_the_clusters_programs_are_its_users_alone(run_step):
    path = run_step("bash", "-c", "command -v s3-dist-cp").stdout.strip()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_hdfs_is_listed(run_step):
    commands = (
        "echo hello > f; hadoop fs -mkdir -p /listed/in; hadoop fs -put f /listed/in/f; "
        "hadoop fs -ls /; hdfs dfs -ls -R hdfs:///listed; hadoop fs -count /listed"
    )
    printed = run_step("bash", "-e", "-c", commands).stdout
    assert printed.startswith("Found ")
    for name in ("/listed\n", "/tmp\n", "/user\n", "hdfs:///listed/in/f\n"):
        assert f" {name}" in printed
    assert printed.split()[-4:] == ["2", "1", "6", "/listed"]
