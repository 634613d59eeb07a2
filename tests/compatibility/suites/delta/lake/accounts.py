from delta.tables import DeltaTable


def upsert(spark, path, changes):
    if not DeltaTable.isDeltaTable(spark, path):
        changes.write.format("delta").save(path)
        return
    (
        DeltaTable.forPath(spark, path)
        .alias("old")
        .merge(changes.alias("new"), "old.id = new.id")
        .whenMatchedUpdateAll()
        .whenNotMatchedInsertAll()
        .execute()
    )
