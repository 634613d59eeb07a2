import awswrangler as wr
import boto3
import pandas as pd
import pytest


@pytest.fixture
def frame():
    return pd.DataFrame({"id": [1, 2, 3], "country": ["de", "fr", "de"]})


def test_parquet(lake, frame):
    written = wr.s3.to_parquet(frame, path=f"{lake}/one.parquet")
    assert written["paths"] == [f"{lake}/one.parquet"]
    assert wr.s3.read_parquet(f"{lake}/one.parquet")["id"].tolist() == [1, 2, 3]


def test_dataset(lake, frame):
    wr.s3.to_parquet(frame, path=f"{lake}/set/", dataset=True, partition_cols=["country"], mode="overwrite")
    listed = wr.s3.list_objects(f"{lake}/set/")
    assert {path.split("/")[-2] for path in listed} == {"country=de", "country=fr"}
    germans = wr.s3.read_parquet(
        f"{lake}/set/", dataset=True, partition_filter=lambda partition: partition["country"] == "de"
    )
    assert sorted(germans["id"]) == [1, 3]
    wr.s3.to_parquet(
        pd.DataFrame({"id": [9], "country": ["de"]}),
        path=f"{lake}/set/",
        dataset=True,
        partition_cols=["country"],
        mode="overwrite_partitions",
    )
    assert sorted(wr.s3.read_parquet(f"{lake}/set/", dataset=True)["id"]) == [2, 9]


def test_chunked(lake, frame):
    wr.s3.to_parquet(frame, path=f"{lake}/chunks.parquet")
    assert [len(chunk) for chunk in wr.s3.read_parquet(f"{lake}/chunks.parquet", chunked=2)] == [2, 1]


def test_csv_json_and_select(lake, frame):
    wr.s3.to_csv(frame, f"{lake}/one.csv", index=False)
    wr.s3.to_json(frame, f"{lake}/one.json", orient="records", lines=True)
    assert wr.s3.read_csv([f"{lake}/one.csv"])["country"].tolist() == ["de", "fr", "de"]
    assert len(wr.s3.read_json(f"{lake}/one.json", lines=True)) == 3


def test_objects(lake, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    wr.s3.upload(str(tmp_path / "a.txt"), f"{lake}/objects/a.txt")
    wr.s3.copy_objects([f"{lake}/objects/a.txt"], f"{lake}/objects", f"{lake}/copies")
    assert wr.s3.does_object_exist(f"{lake}/copies/a.txt")
    assert wr.s3.list_directories(lake + "/")
    wr.s3.download(f"{lake}/copies/a.txt", str(tmp_path / "b.txt"))
    assert (tmp_path / "b.txt").read_text() == "a"
    wr.s3.delete_objects(f"{lake}/copies/")
    wr.s3.wait_objects_not_exist([f"{lake}/copies/a.txt"])
    assert wr.s3.list_objects(f"{lake}/copies/") == []


def test_own_session(lake, frame):
    session = boto3.Session(region_name=boto3.Session().region_name)
    wr.s3.to_parquet(frame, path=f"{lake}/session.parquet", boto3_session=session)
    assert wr.s3.size_objects(f"{lake}/session.parquet", boto3_session=session)[f"{lake}/session.parquet"] > 0
