"""Java options for a quick start give way to the user's own."""

from __future__ import annotations

import pytest

from pytest_isolated_emr.spark import properties


def test_without_a_wish_of_the_user_all_are_there():
    assert properties.quick_start_options({}, {}) == [
        "-XX:MetaspaceSize=256m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
    ]


@pytest.mark.parametrize(
    ("settings", "environ"),
    [
        ({"spark.driver.extraJavaOptions": "-XX:+UseG1GC -Da=1"}, {}),
        ({"spark.driver.defaultJavaOptions": "-XX:+UseParallelGC"}, {}),
        ({}, {"JAVA_TOOL_OPTIONS": "-XX:+UseZGC"}),
        ({}, {"SPARK_SUBMIT_OPTS": "-XX:+UseShenandoahGC"}),
    ],
)
def test_a_collector_of_the_user_is_the_only_one(settings, environ):
    assert "-XX:+UseSerialGC" not in properties.quick_start_options(settings, environ)


@pytest.mark.parametrize("name", ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"])
def test_a_compiler_level_of_the_user_stays(name):
    chosen = properties.quick_start_options({}, {name: "-XX:TieredStopAtLevel=4"})
    assert not [option for option in chosen if "TieredStopAtLevel" in option]


def test_options_that_are_there_come_last_and_win():
    key = "spark.driver.defaultJavaOptions"
    assert properties.with_java_options({key: "-Da=1"}, ["-Da=0", "-Db=2"]) == {key: "-Da=0 -Db=2 -Da=1"}


def test_what_belongs_together_is_joined_and_what_leads_out_is_left_out():
    defaults = {"spark.driver.extraClassPath": "/jars/*", "spark.app.name": "a"}
    options = {"spark.driver.extraClassPath": "/mine", "spark.app.name": "b", "spark.driver.host": "10.0.0.1"}
    assert properties.merged(defaults, options) == {
        "spark.driver.extraClassPath": "/jars/*:/mine",
        "spark.app.name": "b",
    }


def test_what_the_user_joined_already_is_not_joined_again():
    key = "spark.driver.extraClassPath"
    assert properties.merged({key: "/jars/*"}, {key: "/mine:/jars/*"}) == {key: "/mine:/jars/*"}
