"""Clients that do not go by the environment, and moto's mocks, each in a fresh interpreter."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pytest_isolated_emr.aws.environment import AwsEnvironment

from .conftest import Endpoint

PREAMBLE = """
import json, os, sys
from pathlib import Path
from pytest_isolated_emr.aws import interception
from pytest_isolated_emr.aws.credentials import SessionCredentials
URL = os.environ["AWS_ENDPOINT_URL"]
KEYS = SessionCredentials(
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["AWS_REGION"]
)
ENDPOINT = lambda: os.environ.get("AWS_ENDPOINT_URL")
"""


class Interpreter:
    """Runs programs in the session's environment."""

    def __init__(self, endpoint: Endpoint, directory: Path) -> None:
        aws = AwsEnvironment(endpoint.credentials, endpoint.url, directory, {"HOME": str(directory)})
        machine = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DUCKDB_"))
        }
        self.environ = {**machine, **aws.variables(), "HOME": str(directory)}

    def run(self, program: str, **environ: str) -> Any:
        """Run a program and return what it printed last, as JSON."""
        ended = subprocess.run(
            [sys.executable, "-c", PREAMBLE + textwrap.dedent(program)],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture
def python(endpoint: Endpoint, tmp_path: Path) -> Interpreter:
    return Interpreter(endpoint, tmp_path)


def test_nothing_is_imported_for_it(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        print(json.dumps([name for name in ("pyarrow", "moto", "duckdb", "boto3") if name in sys.modules]))
    """
    assert python.run(program) == []


# pyarrow

IMPORT_ORDERS = {
    "before": "import pyarrow.fs as fs; interception.activate(URL, KEYS)",
    "after": "interception.activate(URL, KEYS); import pyarrow.fs as fs",
    "by name": "interception.activate(URL, KEYS); from pyarrow import _s3fs, fs",
}


@pytest.mark.parametrize("imports", IMPORT_ORDERS.values(), ids=IMPORT_ORDERS)
@pytest.mark.parametrize(
    "arguments", ["", "anonymous=True", 'endpoint_override="s3.eu-west-1.amazonaws.com"']
)
def test_pyarrows_file_system_is_the_sessions(
    python: Interpreter, endpoint: Endpoint, imports: str, arguments: str
) -> None:
    program = f"""
        {imports}
        file_system = fs.S3FileSystem({arguments})
        with file_system.open_output_stream("here/arrow") as stream:
            stream.write(b"by arrow")
        print(json.dumps([file_system.region, isinstance(file_system, fs.FileSystem)]))
    """
    endpoint.client("s3").delete_object(Bucket="here", Key="arrow")
    assert python.run(program) == ["eu-west-1", True]
    assert endpoint.client("s3").get_object(Bucket="here", Key="arrow")["Body"].read() == b"by arrow"


@pytest.mark.parametrize("imports", IMPORT_ORDERS.values(), ids=IMPORT_ORDERS)
def test_pyarrows_classes_stay_what_they_were(python: Interpreter, imports: str) -> None:
    program = f"""
        {imports}
        import pickle
        made = fs.S3FileSystem()
        from_uri, path = fs.FileSystem.from_uri("s3://here/x")
        copies = [pickle.loads(pickle.dumps(made)), pickle.loads(pickle.dumps(from_uri))]
        from pyarrow._s3fs import S3FileSystem
        everything = [made, from_uri, *copies]
        print(json.dumps([
            all(isinstance(each, fs.S3FileSystem) and isinstance(each, S3FileSystem) for each in everything),
            all(each.get_file_info("here").type == fs.FileType.Directory for each in everything),
            issubclass(type(copies[0]), fs.S3FileSystem),
            isinstance(fs.LocalFileSystem(), fs.S3FileSystem),
            made.equals(copies[0]),
            fs.S3FileSystem.__name__, fs.S3FileSystem.__module__,
            fs.resolve_s3_region("any-bucket"),
        ]))
    """
    result = python.run(program)
    assert result == [True, True, True, False, True, "S3FileSystem", "pyarrow._s3fs", "eu-west-1"]


def test_pyarrows_readers_and_writers_use_it(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        import pyarrow, pyarrow.dataset, pyarrow.parquet
        from pyarrow.fs import S3FileSystem
        table = pyarrow.table({"a": [1, 2]})
        pyarrow.parquet.write_table(table, "here/tables/one.parquet", filesystem=S3FileSystem())
        pyarrow.parquet.write_table(table, "s3://here/tables/two.parquet")
        by_object = pyarrow.dataset.dataset("here/tables", filesystem=S3FileSystem()).count_rows()
        by_uri = pyarrow.dataset.dataset("s3://here/tables").count_rows()
        print(json.dumps([by_object, by_uri]))
    """
    assert python.run(program) == [4, 4]


def test_pyarrow_with_a_store_of_the_users_own_is_left_alone(python: Interpreter, other: Endpoint) -> None:
    other.client("s3").put_object(Bucket="here", Key="theirs", Body=b"x")
    program = f"""
        interception.activate(URL, KEYS)
        from pyarrow.fs import S3FileSystem
        theirs = S3FileSystem("{other.credentials.access_key_id}", secret_key="any", scheme="http",
                              endpoint_override="{other.url.removeprefix("http://")}")
        print(json.dumps(theirs.get_file_info("here/theirs").is_file))
    """
    assert python.run(program) is True


def test_pyarrow_with_hard_coded_keys_of_elsewhere_is_refused(python: Interpreter, other: Endpoint) -> None:
    program = f"""
        interception.activate(URL, KEYS)
        from pyarrow.fs import S3FileSystem
        stranger = S3FileSystem("{other.credentials.access_key_id}", secret_key="any")
        try:
            stranger.get_file_info("here/x")
            print(json.dumps("let in"))
        except OSError as error:
            print(json.dumps("ACCESS_DENIED" in str(error) or "InvalidAccessKeyId" in str(error)))
    """
    assert python.run(program) is True


def test_pyarrow_is_itself_again_afterwards(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        from pyarrow.fs import S3FileSystem
        interception.deactivate()
        made = S3FileSystem("key", secret_key="secret", region="us-east-1")
        print(json.dumps(made.__reduce__()[1][0]["endpoint_override"]))
    """
    assert python.run(program) == ""


# mock_aws

MOTO_ORDERS = {
    "before": "from moto import mock_aws; interception.activate(URL, KEYS)",
    "after": "interception.activate(URL, KEYS); from moto import mock_aws",
}


@pytest.mark.parametrize("imports", MOTO_ORDERS.values(), ids=MOTO_ORDERS)
def test_inside_a_mock_there_is_no_endpoint(python: Interpreter, endpoint: Endpoint, imports: str) -> None:
    program = f"""
        {imports}
        import boto3
        os.environ["AWS_ENDPOINT_URL_S3"] = URL

        @mock_aws
        def decorated():
            boto3.client("s3").create_bucket(
                Bucket="only-in-the-mock", CreateBucketConfiguration={{"LocationConstraint": "eu-west-1"}})
            seen = [ENDPOINT(), os.environ.get("AWS_ENDPOINT_URL_S3")]
            with mock_aws():
                pass
            return [*seen, ENDPOINT(), [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]]]

        inside = decorated()
        with mock_aws():
            in_context = ENDPOINT()
        outside = [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]]
        restored = ENDPOINT() == os.environ["AWS_ENDPOINT_URL_S3"] == URL
        print(json.dumps([inside, in_context, restored, outside]))
    """
    inside, in_context, restored, outside = python.run(program)
    assert inside[:3] == [None, None, None]
    assert inside[3] == ["only-in-the-mock"]
    assert in_context is None
    assert restored is True
    assert "here" in outside
    assert "only-in-the-mock" not in outside
    assert "FOOBARKEY" not in endpoint.log.read_text()


def test_the_endpoint_comes_back_after_the_last_of_several_mocks(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        from moto import mock_aws
        first, second = mock_aws(), mock_aws()
        seen = []
        for step in (first.start, second.start, first.stop, second.stop):
            step()
            seen.append(ENDPOINT() == URL)
        try:
            first.stop()
        except RuntimeError:
            seen.append(ENDPOINT() == URL)
        print(json.dumps(seen))
    """
    assert python.run(program) == [False, False, False, True, True]


def test_a_mock_that_outlives_the_session_does_not_bring_it_back(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        from moto import mock_aws
        mock = mock_aws()
        mock.start()
        interception.deactivate()
        mock.stop()
        print(json.dumps(ENDPOINT()))
    """
    assert python.run(program) is None


def test_a_session_in_a_session_ends_before_it(python: Interpreter) -> None:
    program = """
        interception.activate(URL, KEYS)
        from moto import mock_aws
        from pyarrow.fs import S3FileSystem, resolve_s3_region
        outer = mock_aws()
        outer.start()
        interception.activate("http://127.0.0.1:1", SessionCredentials("k", "s", "eu-north-1"))
        os.environ["AWS_ENDPOINT_URL"] = "inner"
        with mock_aws():
            seen = [ENDPOINT()]
        seen += [ENDPOINT(), resolve_s3_region("b")]
        interception.deactivate()
        outer.stop()
        seen += [ENDPOINT() == URL, resolve_s3_region("b"), S3FileSystem().get_file_info("here").is_file]
        print(json.dumps(seen))
    """
    assert python.run(program) == [None, "inner", "eu-north-1", True, "eu-west-1", False]


# DuckDB


@pytest.fixture
def httpfs() -> str:
    """DuckDB's extension for S3, as a package has it: nothing is downloaded by DuckDB itself."""
    duckdb, package = importlib.import_module("duckdb"), importlib.import_module("duckdb_extension_httpfs")
    (path,) = Path(package.__path__[0]).rglob("httpfs.duckdb_extension")
    assert duckdb.__version__ in str(path)
    return str(path)


def test_duckdb_reads_and_writes_the_sessions_objects(
    python: Interpreter, endpoint: Endpoint, httpfs: str
) -> None:
    program = f"""
        interception.activate(URL, KEYS)
        import duckdb
        duckdb.execute("LOAD '{httpfs}'")
        duckdb.sql("COPY (SELECT 1 AS a) TO 's3://here/duck/default.parquet'")
        connection = duckdb.connect()
        connection.execute("LOAD '{httpfs}'")
        connection.execute("COPY (SELECT 2 AS a) TO 's3://here/duck/connected.parquet'")
        read = connection.execute("SELECT a FROM 's3://here/duck/*.parquet' ORDER BY a").fetchall()
        print(json.dumps([read, isinstance(connection, duckdb.DuckDBPyConnection)]))
    """
    assert python.run(program) == [[[1], [2]], True]
    assert [key for key in endpoint.keys("here") if key.startswith("duck/")] == [
        "duck/connected.parquet",
        "duck/default.parquet",
    ]


def test_duckdb_does_not_use_secrets_of_the_users(python: Interpreter, httpfs: str) -> None:
    program = f"""
        import duckdb
        with duckdb.connect() as connection:
            connection.execute("LOAD '{httpfs}'")
            connection.execute("CREATE PERSISTENT SECRET real (TYPE s3, KEY_ID 'REAL', SECRET 'REAL')")

        def secrets(**options):
            with duckdb.connect(**options) as connection:
                connection.execute("LOAD '{httpfs}'")
                return [name for name, in connection.execute("SELECT name FROM duckdb_secrets()").fetchall()]

        found = [secrets()]
        interception.activate(URL, KEYS)
        found += [secrets(), secrets(config={{}}), secrets(database=":memory:", read_only=False)]
        assert duckdb.connect(":default:").execute("SELECT 1").fetchall() == [(1,)]
        interception.activate(URL, KEYS, Path(os.environ["HOME"]) / "secrets")
        found += [secrets()]
        interception.deactivate()
        interception.deactivate()
        found += [secrets()]
        print(json.dumps(found))
    """
    assert python.run(program) == [["real"], [], [], [], [], ["real"]]
