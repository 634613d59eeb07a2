"""Tests that each write a small object and a small file to their scratch."""

import os

import pytest


@pytest.mark.parametrize("number", range(int(os.environ["BENCH_TESTS"])))
def test_an_object_and_a_file(s3, scratch, number):
    s3.put_object(Bucket=scratch.bucket, Key=f"{scratch.prefix}/object", Body=b"x" * 100)
    (scratch.path / "file").write_bytes(b"x" * 100)
