import boto3
import fsspec
import pandas as pd
import pytest
import s3fs
from pandas.testing import assert_frame_equal


@pytest.fixture
def frame():
    return pd.DataFrame({"id": [1, 2, 3], "name": ["a", "b", None], "price": [0.5, 1.5, 2.5]})


def test_parquet(lake, frame):
    frame.to_parquet(f"{lake}/one.parquet")
    assert_frame_equal(pd.read_parquet(f"{lake}/one.parquet"), frame)
    assert boto3.client("s3").head_object(Bucket="pandas-lake", Key="one.parquet")["ContentLength"] > 0


def test_partitioned(lake, frame):
    frame.assign(day=["x", "x", "y"]).to_parquet(f"{lake}/parts", partition_cols=["day"])
    back = pd.read_parquet(f"{lake}/parts", filters=[("day", "==", "x")])
    assert sorted(back["id"]) == [1, 2]


def test_csv_and_json(lake, frame):
    frame.to_csv(f"{lake}/one.csv.gz", index=False)
    assert_frame_equal(pd.read_csv(f"{lake}/one.csv.gz"), frame)
    frame.to_json(f"{lake}/one.jsonl", orient="records", lines=True)
    assert len(pd.read_json(f"{lake}/one.jsonl", lines=True)) == 3


def test_file_system(lake):
    files = s3fs.S3FileSystem()
    with files.open(f"{lake}/dir/hello.txt", "w") as file:
        file.write("hello")
    files.invalidate_cache()
    assert files.ls(f"{lake}/dir") == ["pandas-lake/dir/hello.txt"]
    assert files.cat(f"{lake}/dir/hello.txt") == b"hello"
    files.rm(f"{lake}/dir", recursive=True)
    assert not files.exists(f"{lake}/dir/hello.txt")


def test_large_file_in_parts(lake):
    data = bytes(range(256)) * (24 * 1024)
    with s3fs.S3FileSystem(default_block_size=5 * 2**20).open(f"{lake}/large.bin", "wb") as file:
        file.write(data)
    with fsspec.open(f"{lake}/large.bin", "rb") as file:
        assert file.read() == data


def test_storage_options(lake):
    boto3.client("s3").put_object(Bucket="pandas-lake", Key="with.csv", Body=b"id\n7\n")
    assert list(pd.read_csv(f"{lake}/with.csv", storage_options={"default_fill_cache": False})["id"]) == [7]
