import boto3
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from pyarrow import csv, fs
from pyarrow.fs import FileSelector, FileType, S3FileSystem


@pytest.fixture
def table():
    return pa.table({"id": [1, 2, 3, 4], "country": ["de", "de", "fr", "fr"]})


def keys(prefix):
    listed = boto3.client("s3").list_objects_v2(Bucket="arrow-lake", Prefix=prefix)
    return [entry["Key"] for entry in listed.get("Contents", [])]


def test_file_system_without_arguments(lake):
    s3 = S3FileSystem()
    with s3.open_output_stream("arrow-lake/plain/hello.txt") as stream:
        stream.write(b"hello")
    assert keys("plain/") == ["plain/hello.txt"]
    with s3.open_input_file("arrow-lake/plain/hello.txt") as file:
        assert file.read() == b"hello"
    infos = s3.get_file_info(FileSelector("arrow-lake/plain", recursive=True))
    assert [(info.path, info.type) for info in infos] == [("arrow-lake/plain/hello.txt", FileType.File)]


def test_file_system_with_region(lake, table):
    s3 = fs.S3FileSystem(region=boto3.Session().region_name, request_timeout=10, connect_timeout=10)
    pq.write_table(table, "arrow-lake/region/t.parquet", filesystem=s3)
    assert keys("region/") == ["region/t.parquet"]
    assert pq.read_table("arrow-lake/region/t.parquet", filesystem=s3).equals(table)


def test_by_uri(lake, table):
    pq.write_table(table, f"{lake}/uri/t.parquet")
    assert pq.read_table(f"{lake}/uri/t.parquet", columns=["id"]).num_rows == 4
    s3, path = fs.FileSystem.from_uri(f"{lake}/uri")
    assert isinstance(s3, S3FileSystem)
    assert path == "arrow-lake/uri"


def test_dataset(lake, table):
    partitioning = ds.partitioning(pa.schema([("country", pa.string())]), flavor="hive")
    ds.write_dataset(table, f"{lake}/dataset", format="parquet", partitioning=partitioning)
    assert {key.split("/")[1] for key in keys("dataset/") if key.endswith(".parquet")} == {
        "country=de",
        "country=fr",
    }
    dataset = ds.dataset(f"{lake}/dataset", partitioning=partitioning)
    assert dataset.to_table(filter=ds.field("country") == "fr")["id"].to_pylist() == [3, 4]
    same = ds.dataset("arrow-lake/dataset", filesystem=S3FileSystem(), partitioning="hive")
    assert same.count_rows() == 4


def test_csv_copy_and_delete(lake, table):
    s3 = S3FileSystem()
    with s3.open_output_stream("arrow-lake/csv/t.csv") as stream:
        csv.write_csv(table, stream)
    s3.copy_file("arrow-lake/csv/t.csv", "arrow-lake/csv/u.csv")
    s3.delete_file("arrow-lake/csv/t.csv")
    with s3.open_input_stream("arrow-lake/csv/u.csv") as stream:
        assert csv.read_csv(stream).num_rows == 4
    s3.delete_dir("arrow-lake/csv")
    assert keys("csv/") == []


def test_copy_files(lake, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    fs.copy_files(str(tmp_path), f"{lake}/copied")
    assert keys("copied/") == ["copied/a.txt"]
    (tmp_path / "back").mkdir()
    fs.copy_files("arrow-lake/copied", str(tmp_path / "back"), source_filesystem=S3FileSystem())
    assert (tmp_path / "back" / "a.txt").read_text() == "a"
