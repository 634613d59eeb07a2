"""What a spare is told of the session that orders it: enough to be the same, and nothing that was that session's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_isolated_emr.keeper.spare_order import SpareOrder, SparkOrders
from pytest_isolated_emr.spark.environment import is_of_jvm

OWN = ("directory", "run_id", "endpoint_url", "access_key_id", "secret_access_key")


def described(number: int) -> dict[str, str]:
    run_id = f"20261127t04321{number}-a8112{number}"
    return {
        "run_id": run_id,
        "directory": f"/home/me/.local/state/isolated-emr/sessions/{run_id}",
        "endpoint_url": f"http://127.0.0.1:4012{number}",
        "access_key_id": f"AKIA{number}KEYKEYKEYKEYKEY",
        "secret_access_key": f"{number}secretsecretsecretsecretsecretsecretsecret",
    }


FIRST, SECOND = described(1), described(2)


def request(session: dict[str, str], **changes: object) -> dict[str, object]:
    directory = session["directory"]
    return {
        "cwd": "/home/me/project",
        "spark_home": "/opt/spark",
        "timeout": 120.0,
        "files": {"readable": []},
        "properties": {
            "spark.sql.warehouse.dir": f"{directory}/workers/main/warehouse",
            "spark.hadoop.fs.s3a.endpoint": session["endpoint_url"],
            "spark.hadoop.fs.s3a.secret.key": session["secret_access_key"],
            "spark.my.setting": "mine",
        },
        "environ": {
            "PATH": "/usr/bin",
            "AWS_ACCESS_KEY_ID": session["access_key_id"],
            "AWS_CONFIG_FILE": f"{directory}/workers/main/aws/config",
            "ISOLATED_EMR_REDIRECT": "1",
            "MY_VARIABLE": "mine",
        },
        **changes,
    }


# Text that may hold pieces of the session's own, alone and side by side.
_texts = st.lists(
    st.one_of(st.text(max_size=8), st.sampled_from([FIRST[name] for name in OWN])), max_size=4
).map("".join)
_settings = st.dictionaries(st.text(min_size=1, max_size=8), _texts, max_size=4)


@given(properties=_settings, values=_settings)
def test_an_order_has_nothing_of_its_sessions_and_gives_another_the_same(properties, values):
    environ = {f"SPARK_{number}": value for number, value in enumerate(values.values())}
    of_first = request(FIRST, properties=properties, environ=environ)
    order = SparkOrders(FIRST).order(of_first)
    text = json.dumps(order)
    for name in OWN:
        assert FIRST[name] not in text
    assert SparkOrders(FIRST).request(order) == of_first
    of_second = SparkOrders(SECOND).request(order)
    assert SparkOrders(SECOND).order(of_second) == order
    for name in OWN:
        assert FIRST[name] not in json.dumps(of_second)
    assert SparkOrders(SECOND).differences(order, of_second) == []


@given(names=st.lists(st.text(st.characters(codec="ascii", categories=["L", "Nd"], include_characters="_"))))
def test_an_order_keeps_no_other_variables(names):
    order = SparkOrders(FIRST).order(request(FIRST, environ=dict.fromkeys(names, "value")))
    for name in order["environ"]:
        assert is_of_jvm(name) or name.startswith("AWS_") or name == "ISOLATED_EMR_REDIRECT"


def test_what_another_session_asks_for_in_the_same_way_is_no_difference():
    order = SparkOrders(FIRST).order(request(FIRST))
    assert SparkOrders(SECOND).differences(order, request(SECOND)) == []
    other = request(SECOND)
    other["environ"] = {**other["environ"], "MY_VARIABLE": "another"}  # type: ignore[dict-item]
    assert SparkOrders(SECOND).differences(order, other) == []


@pytest.mark.parametrize(
    ("part", "name", "value"),
    [
        ("properties", "spark.my.setting", "secret value"),
        ("properties", "spark.my.setting", None),
        ("properties", "spark.new.setting", "secret value"),
        ("environ", "PATH", "/secret value"),
        ("environ", "AWS_PROFILE", "secret value"),
        ("environ", "ISOLATED_EMR_REDIRECT", None),
    ],
)
def test_differences_are_named_without_their_values(part, name, value):
    order = SparkOrders(FIRST).order(request(FIRST))
    other = request(SECOND)
    settings = dict(other[part])  # type: ignore[call-overload]
    if value is None:
        del settings[name]
    else:
        settings[name] = value
    found = SparkOrders(SECOND).differences(order, {**other, part: settings})
    assert found == [f"{part} {name}"]


@pytest.mark.parametrize("part", ["cwd", "spark_home", "timeout"])
def test_another_place_is_a_difference(part):
    order = SparkOrders(FIRST).order(request(FIRST))
    assert SparkOrders(SECOND).differences(order, request(SECOND, **{part: "another"})) == [part]


def test_what_makes_a_jvm_quick_is_none():
    quick = {"spark.driver.defaultJavaOptions": "-Da=1 -Disolatedemr.preload=/somewhere"}
    archive = {"spark.driver.defaultJavaOptions": "-XX:SharedArchiveFile=/cache/spark.jsa -Da=1"}
    order = SparkOrders(FIRST).order(request(FIRST, properties=quick))
    assert SparkOrders(SECOND).differences(order, request(SECOND, properties=archive)) == []
    other = {"spark.driver.defaultJavaOptions": "-Da=2"}
    assert SparkOrders(SECOND).differences(order, request(SECOND, properties=other))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark.jars", "{file}"),
        ("spark.jars", "/other.jar,file://{file}"),
        ("spark.files", "{file}#alias"),
        ("spark.driver.extraJavaOptions", "-Da=1 -javaagent:{file}"),
        ("spark.driver.extraClassPath", "{directory}/*:/other"),
        ("spark.driver.extraClassPath", "/other:{directory}"),
        ("spark.jars", "{relative}"),
    ],
)
def test_a_file_that_settings_name_is_a_difference_once_it_changes(tmp_path, name, value):
    file = tmp_path / "classes" / "my.jar"
    file.parent.mkdir()
    file.write_bytes(b"before")
    value = value.format(file=file, directory=file.parent, relative="classes/my.jar")
    of_first, of_second = (
        request(each, properties={name: value}, cwd=str(tmp_path)) for each in (FIRST, SECOND)
    )
    order = SparkOrders(FIRST).order(of_first)
    assert SparkOrders(SECOND).differences(order, of_second) == []
    file.write_bytes(b"something else")
    assert SparkOrders(SECOND).differences(order, of_second) == [f"named files {file}"]


def test_words_that_are_no_files_are_passed_over():
    odd = {
        "a": "x" * 5000,
        "b": "\0",
        "c": "s3://bucket/key",
        "spark.jars": "/nowhere/of.jar",
        "d": "/proc/1/mem",
    }
    SparkOrders(FIRST).order(request(FIRST, properties=odd))


def test_an_order_is_told_by_one_line():
    orders = {"main": SparkOrders(FIRST).order(request(FIRST))}
    order = SpareOrder("a" * 32, 3.0, {"cwd": "/x"}, orders)
    assert b"\n" not in order.to_json()
    assert SpareOrder.from_json(order.to_json()) == order
    # A traceback may have it.
    assert "/usr/bin" not in repr(order)


@pytest.mark.parametrize(
    ("part", "name", "value", "is_secret"),
    [
        ("properties", "spark.my.password", "x", True),
        ("properties", "spark.my.password", "", False),
        ("properties", "spark.driver.extraJavaOptions", "-Dmy.token=x", True),
        ("environ", "SPARK_TOKEN", "x", True),
        ("environ", "AWS_SESSION_TOKEN", "x", True),
        ("environ", "MY_PASSWORD", "x", False),
        ("properties", "spark.hadoop.fs.s3a.aws.credentials.provider", "some.Class", False),
        ("environ", "AWS_SHARED_CREDENTIALS_FILE", f"{FIRST['directory']}/aws/credentials", False),
    ],
)
def test_secrets_of_the_user_are_named(part, name, value, is_secret):
    asked = request(FIRST)
    asked[part] = {**asked[part], name: value}  # type: ignore[dict-item]
    order = SpareOrder("a" * 32, 3.0, {}, {"main": SparkOrders(FIRST).order(asked)})
    assert order.secrets() == ([name] if is_secret else [])


def test_files_below_its_own_directory_are_not_looked_at(tmp_path):
    session = {**FIRST, "directory": str(tmp_path)}
    (tmp_path / "file").write_text("own")
    order = SparkOrders(session).order(
        request(session, properties={"spark.files": str(Path(tmp_path, "file"))})
    )
    assert order["named files"] == {}
