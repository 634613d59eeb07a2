# `make demo` and `make test` work on a fresh clone: they make their own virtual environments.

PYTHON ?= python3
VENV := .venv
VENV35 := .venv-spark35
CLIENTS := .venv-clients
BIN := $(VENV)/bin
PYTEST_ARGS ?=
# `make bench PART=suites ROUNDS=3` measures a part of it anew: suites, s3, steps, fixture, idle, memory, counts, settings,
# growth.
ROUNDS ?= 7
PART ?=
# Tests mostly wait for processes that they start; they differ much in how long they take.
TEST_ARGS := -n 2 --dist worksteal
# What a user's later runs have: a JVM starts in half the time, and takes half of the processor.
FETCH = isolated-emr fetch
# As an installed package is: otherwise each of the thousands of processes that write no bytecode compiles it again.
COMPILE := -m compileall -q src tests

.PHONY: demo test test-all lint test-spark4 test-spark35 test-thorough test-by-spare chaos bench bench-docker class-lists clean

demo: $(VENV)/.ready
	@scripts/ensure-java
	cd fixtures/flights && ../../$(BIN)/pytest --isolated-emr -n 2 --dist loadscope $(PYTEST_ARGS)

test: lint test-spark4 test-spark35

# What takes too long for each change: suites that start many JVMs, rare faults, and all Spark tests with runs that claim a spare.
test-all: test test-thorough test-by-spare

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-spark4: $(VENV)/.ready $(CLIENTS)/.ready
	@scripts/ensure-java
	@scripts/ensure-docker $(BIN)/python
	@scripts/ensure-fault-tools
	@$(BIN)/isolated-emr image build
	@$(BIN)/$(FETCH)
	@$(BIN)/$(FETCH) --image "$$($(BIN)/python -c 'from tests.engine import IMAGE; print(IMAGE)')"
	@$(BIN)/python $(COMPILE)
	$(BIN)/pytest -m 'not thorough' $(TEST_ARGS) $(PYTEST_ARGS)

# The part that touches Spark, under the Spark of emr-7.x.
test-spark35: $(VENV35)/.ready $(CLIENTS)/.ready
	@scripts/ensure-java
	@scripts/ensure-docker $(VENV35)/bin/python
	@$(VENV35)/bin/isolated-emr image build
	@$(VENV35)/bin/$(FETCH)
	@$(VENV35)/bin/python $(COMPILE)
	$(VENV35)/bin/pytest -m 'spark and not thorough' $(TEST_ARGS) $(PYTEST_ARGS)

test-thorough: $(VENV)/.ready $(VENV35)/.ready $(CLIENTS)/.ready
	@scripts/ensure-java
	@scripts/ensure-docker $(BIN)/python
	@scripts/ensure-fault-tools
	@$(BIN)/isolated-emr image build
	$(BIN)/pytest -m thorough $(TEST_ARGS) $(PYTEST_ARGS)
	$(VENV35)/bin/pytest -m 'spark and thorough' $(TEST_ARGS) $(PYTEST_ARGS)

# Each run of these files claims a spare that another run of its suite has left.
BY_SPARE := tests/end_to_end/test_spark_isolation.py tests/compatibility

test-by-spare: $(VENV)/.ready $(VENV35)/.ready
	@scripts/ensure-java
	TEST_BY_SPARE=1 $(BIN)/pytest $(BY_SPARE) -m spark $(TEST_ARGS) $(PYTEST_ARGS)
	TEST_BY_SPARE=1 $(VENV35)/bin/pytest $(BY_SPARE) -m spark $(TEST_ARGS) $(PYTEST_ARGS)

# Runs at which things go wrong. Rounds that $(CHAOS_RECORD) has without a violation are not run again; `make chaos KIND=spark SEED=7 CHAOS_ROUNDS=1`.
CHAOS_RECORD ?= tests/chaos/record.jsonl
KIND ?= plain
CHAOS_ROUNDS ?= 20
SEED ?= 1

chaos: $(VENV)/.ready
	@scripts/ensure-java
	@scripts/ensure-docker $(BIN)/python
	@scripts/ensure-fault-tools
	@$(BIN)/isolated-emr image build
	$(BIN)/python -m tests.chaos.campaign --kind $(KIND) --seed $(SEED) --rounds $(CHAOS_ROUNDS) --record $(CHAOS_RECORD) --docs docs/reliability.md

bench: $(VENV)/.ready
	@scripts/ensure-java
	$(BIN)/python -m benchmarks --rounds $(ROUNDS) $(addprefix --part ,$(PART))

bench-docker: $(VENV)/.ready
	@scripts/ensure-java
	@scripts/ensure-docker $(BIN)/python
	@$(BIN)/isolated-emr image build
	$(BIN)/python -m benchmarks.containers

# The classes that Spark's JVM loads ahead: to be written anew for a new version of Spark.
class-lists: $(VENV)/.ready $(VENV35)/.ready
	@scripts/ensure-java
	$(BIN)/python scripts/list-spark-classes
	$(VENV35)/bin/python scripts/list-spark-classes

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[spark,docker]' 'pyspark>=4' --group test --group demo --group bench
	@touch $@

$(VENV35)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV35)
	$(VENV35)/bin/pip install --quiet --upgrade pip
	$(VENV35)/bin/pip install --quiet --editable '.[spark,docker]' 'pyspark==3.5.*' --group test-spark35 --group demo
	@touch $@

# Other people's programs, which find our EMR by the environment alone; nothing of ours is in it.
$(CLIENTS)/.ready: pyproject.toml
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --upgrade pip
	$(CLIENTS)/bin/pip install --quiet --group clients
	@touch $@

clean:
	rm -rf $(VENV) $(VENV35) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache
