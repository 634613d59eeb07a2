"""What the settings are measured on beside the ten tests: files on the session's S3."""


def test_parquet_on_s3(spark_session, scratch):
    rows = spark_session.range(1000).selectExpr("id", "id % 5 AS part")
    target = f"{scratch.uri}/out"
    rows.coalesce(1).write.partitionBy("part").parquet(target)
    assert spark_session.read.parquet(target).where("part = 3").count() == 200


def test_overwrite_and_append_on_s3(spark_session, scratch):
    target = f"{scratch.uri}/out"
    for mode, count in (("overwrite", 10), ("overwrite", 10), ("append", 20)):
        spark_session.range(10).coalesce(1).write.mode(mode).json(target)
        assert spark_session.read.json(target).count() == count
