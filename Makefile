# `make` alone lists the verbs. Everything runs inside .venv, made from the lock file.
PYTHON ?= python3
BIN    := .venv/bin

# The tests start hundreds of processes: what they import is compiled once, whatever the caller
# has in its environment.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-long raft-sim raft-mutants soak-power sqllogictest pgbench asyncpg-suite sqlalchemy-suite differential compatibility nightly fuzz-wire check lint types bench lock wheelhouse clean

help:  ## list the verbs
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# The stamp is newer than the lock file exactly when the environment was made from it.
.venv/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 1; }
	@test -x $(BIN)/python || { echo "creating .venv"; $(PYTHON) -m venv .venv; }
	@echo "installing from requirements.lock"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

venv: .venv/.installed  ## create .venv from the lock file if it is missing or older

demo: venv  ## boot a cluster, cut it, kill a leader, check the history, print the verdict card
	@$(BIN)/jepsen-like demo

# First clusters of processes, of which a file's share one and which wait for most of their time;
# meanwhile all tests are compiled, which each worker of the rest would do for itself. Then what
# needs no processes, which waits for a half of its time; then what measures. Each runs even if one
# before it failed.
WORKERS  ?= 5
CLUSTERS ?= 3
test: venv  ## the test suite, but for what takes minutes: WORKERS=N CLUSTERS=M
	@status=0; \
	$(MAKE) --no-print-directory -k -j3 .tests-compiled $(BESIDE) .test-clusters || status=1; \
	$(BIN)/python -m pytest -m "not processes and not alone and not long" -n $(WORKERS) \
	  --dist worksteal || status=1; \
	$(BIN)/python -m pytest -m "alone and not long" || status=1; \
	exit $$status

.PHONY: .tests-compiled .test-clusters
.tests-compiled: venv
	@nice $(BIN)/python -m pytest --collect-only -q >/dev/null 2>&1 || true

.test-clusters: venv
	@$(BIN)/python -m pytest -m "processes and not alone and not long" -n $(CLUSTERS) --dist loadfile

# What only computes has what the clusters leave of the machine, which wait for most of their time;
# what it says comes in one piece when it has ended.
LONG = long and not nightly
LONG_CLUSTERS ?= 2
test-long: venv  ## the tests that take minutes, clusters of processes under load: LONG_CLUSTERS=M
	@$(MAKE) --no-print-directory -k -j2 .long-computing .long-clusters

.PHONY: .long-computing .long-clusters
.long-computing: venv
	@said=$$(mktemp); trap 'cat $$said; rm -f $$said' EXIT; trap 'exit 130' INT TERM; \
	nice $(BIN)/python -m pytest -m "$(LONG) and not processes and not alone" \
	  --durations=20 >$$said 2>&1

.long-clusters: venv
	@status=0; \
	$(BIN)/python -m pytest -m "$(LONG) and processes and not alone" -n $(LONG_CLUSTERS) --dist loadfile \
	  --durations=20 || status=1; \
	$(BIN)/python -m pytest -m "$(LONG) and alone" --durations=40 || status=1; \
	exit $$status

SEEDS ?= 300
JOBS  ?= 2
SEED  ?= 0
ENGINE ?= core
raft-sim: venv  ## simulate groups: SEEDS=N JOBS=J [SEED=first] [ENGINE=core|pysyncobj|pysyncobj-stock]
	@$(BIN)/python -m tests.sim.raft_sim --engine $(ENGINE) --seeds $(SEEDS) --jobs $(JOBS) \
	  --seed $(SEED)

MINUTES ?= 60
raft-mutants: venv  ## docs/raft-mutants.md: which broken Rafts are convicted; resumed after a stop: MINUTES=M
	@$(BIN)/python -m tests.sim.raft_mutant_table --jobs $(JOBS) --minutes $(MINUTES) \
	  --resume raft-mutants.jsonl --out docs/raft-mutants.md

.PHONY: stack-mutants
stack-mutants: venv  ## docs/mutants.md: the whole stack with one rule less, convicted and shrunk: MINUTES=M
	@$(BIN)/python -m tests.sim.stack_mutant_table --minutes $(MINUTES) \
	  --resume stack-mutants.jsonl --out docs/mutants.md

CRASHES ?= 200
soak-power: venv  ## cut the power of nodes under load: CRASHES=N SEED=S; exit 1 if anything is lost
	@$(BIN)/python -m tests.power.soak --crashes $(CRASHES) --seed $(SEED)

FILES ?= $(wildcard ../shared/data/sqllogictest/*.test)
# Of the suites that follow; SQLAlchemy's has one shard unless SHARDS is given.
PLACEMENT ?= home
IN = $(if $(SHARDS),--shards $(SHARDS)) --placement $(PLACEMENT)
sqllogictest: venv  ## files of sqllogictest through two drivers: FILES='a.test' SHARDS=3 PLACEMENT=home|sharded
	@$(BIN)/python -m tests.suites.sqllogictest $(IN) $(FILES)

SCALE   ?= 10
CLIENTS ?= 8
SECONDS ?= 10
pgbench: venv  ## Debian's pgbench in all protocols, a leader killed: SCALE=N CLIENTS=C SECONDS=S
	@$(BIN)/python -m tests.suites.pgbench --scale $(SCALE) --clients $(CLIENTS) --seconds $(SECONDS)

asyncpg-suite: venv  ## asyncpg's own tests, and the reason of each that fails
	@$(BIN)/python -m tests.suites.asyncpg_suite

sqlalchemy-suite: venv  ## SQLAlchemy's suite through psycopg and asyncpg: SHARDS=1 PLACEMENT=home|sharded
	@$(BIN)/python -m tests.suites.sqlalchemy_suite $(IN)

TOOLS ?= django alembic pgcli psql jdbc
.PHONY: tools
tools: venv  ## Django, Alembic, pgcli, psql, JDBC, each step beside PostgreSQL's answer: TOOLS='psql'
	@$(BIN)/python -m tests.suites.tools $(TOOLS)

STATEMENTS ?= 20000
differential: venv  ## statements at random here and on PostgreSQL 15: STATEMENTS=N SEED=S
	@$(BIN)/python -m tests.suites.differential --statements $(STATEMENTS) --seed $(SEED)

.PHONY: differential-sweep
differential-sweep: venv  ## expressions of all types here and on PostgreSQL 15: STATEMENTS=N SEED=S
	@$(BIN)/python -m tests.suites.differential --sweep --statements $(STATEMENTS) --seed $(SEED)

.PHONY: differential-shards
differential-shards: venv  ## statements at random over three shards and over one: STATEMENTS=N SEED=S
	@$(BIN)/python -m tests.suites.differential --shards --statements $(STATEMENTS) --seed $(SEED)

compatibility: venv  ## measure every construct here and on PostgreSQL 15: docs/compatibility.md
	@$(BIN)/python -m tests.suites.compatibility

NIGHTLY ?= nightly-raft-sim.jsonl
nightly: venv  ## checkers by brute force, 20 000 seeds of raft-sim, 20 000 statements, other examples
	@ORACLE_HISTORIES=4000 ORACLE_AT_LEAST=50000 LIMITS_OPERATIONS=1000000 $(BIN)/python -m pytest -q tests/jepsen_like/test_algorithms.py \
	  tests/jepsen_like/test_fast.py tests/jepsen_like/test_models_on_histories.py \
	  tests/jepsen_like/test_staleness.py tests/jepsen_like/test_visibility.py \
	  tests/jepsen_like/test_by_version.py tests/jepsen_like/test_online.py \
	  tests/jepsen_like/test_result.py tests/jepsen_like/test_limits.py
	@$(BIN)/python -m tests.sim.raft_sim --seeds 20000 --jobs $(JOBS) --ticks 1200 \
	  --resume $(NIGHTLY)
	@$(BIN)/python -m pytest -m nightly
	@$(BIN)/python -m pytest -m hypothesis --hypothesis-profile "others each time"
	@$(BIN)/python -m tests.suites.differential

.PHONY: mutants
mutants: venv  ## break what there is of PostgreSQL, one thing at a time: does its test notice?
	@$(BIN)/python -m tests.suites.mutants

SECONDS ?= 60
fuzz-wire: venv  ## bytes against the PostgreSQL wire, led by the code they reach (atheris): SECONDS=N
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'atheris>=3,<4'
	@$(BIN)/python -m tests.shardrouter.pgwire.fuzz -max_total_time=$(SECONDS) -rss_limit_mb=1024

lint: venv  ## ruff: lint rules and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: venv  ## mypy, strict
	@$(BIN)/mypy

# mypy needs one core for a minute, and the first tests wait for most of their time.
check: lint  ## what CI runs: lint, types, all tests
	@$(MAKE) --no-print-directory test BESIDE=.types-beside
	@$(MAKE) --no-print-directory test-long

.PHONY: .types-beside
.types-beside: venv
	@nice $(BIN)/mypy

QUESTIONS ?=
bench: venv  ## this database beside its peers, 40 minutes, docs/performance.md: QUESTIONS='writes reads' QUICK=1
	@$(BIN)/python -m bench --page docs/performance.md $(if $(QUICK),--quick) \
	  $(foreach name,$(QUESTIONS),--question $(name))

# For this system and this version of Python: wheels are of one.
WHEELHOUSE ?= dist/wheelhouse
wheelhouse: venv  ## every wheel there is to install, in dist/wheelhouse, for machines without network
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --use-pep517 --require-hashes \
	  --wheel-dir $(WHEELHOUSE) -r requirements.lock
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir $(WHEELHOUSE) .
	@echo "carry $(WHEELHOUSE) there, and: pip install --no-index --find-links wheelhouse shardrouter"

lock:  ## renew requirements.lock from pyproject.toml (in a throw-away environment)
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.8'
	@.venv-lock/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command 'make lock' --output-file requirements.lock --quiet
	@rm -rf .venv-lock
	@echo "requirements.lock is renewed"

clean:  ## remove .venv and caches; data directories stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
