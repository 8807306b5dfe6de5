# Every target sets itself up on a fresh machine: Python >= 3.11, make; Java 17 and Maven for the real broker.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STARTERS := $(wildcard starters/*/pyproject.toml)

.DEFAULT_GOAL := run
.PHONY: setup postgresql run test lint bench chaos soak clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml $(STARTERS)
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "kafkaboot needs Python >= 3.11, this is " + sys.version.split()[0])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . $(patsubst %/pyproject.toml,--editable %,$(STARTERS)) --group dev
	touch $@

run: setup          ## the sample application on a broker of its own: orders flow until Ctrl-C
	$(BIN)/kafkaboot run --profile dev

# What comes from the distribution's packages, where they may be installed; else the tests that need it say so.
postgresql:
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || test "$$(id -u)" != 0 || \
		! command -v apt-get >/dev/null || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
		apt-get install -qq --no-install-recommends postgresql; } || echo "PostgreSQL could not be installed" >&2

test: setup postgresql lint    ## everything that must hold before a change lands; two workers, since most tests wait
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 30

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup        ## ratios against bare loops and other frameworks on a real Kafka; CASES="async-pydantic startup" for some
	$(BIN)/python -m pip install --quiet --group bench
	test -x $(VENV)-bench/bin/python || $(PYTHON) -m venv $(VENV)-bench
	$(VENV)-bench/bin/python -m pip install --quiet --requirement benchmarks/quix.txt
	$(BIN)/python -m benchmarks $(CASES)

chaos: setup        ## the long form of what `make test` does to processes and brokers: half an hour
	KB_CHAOS=1 $(BIN)/python -m pytest tests/chaos tests/conformance/test_differential.py \
		tests/unit/consumer/test_machine.py --timeout=1800 -rA

SOAK ?= 3600
soak: setup         ## a steady 20,000 records/s, then random faults, each for SOAK seconds; SEED=n for the same faults again
	KB_SOAK=$(SOAK) $(if $(SEED),KB_SEED=$(SEED)) $(BIN)/python -m pytest tests/chaos/test_steady.py tests/chaos/test_soak.py -rA -s

clean:
	rm -rf $(VENV) $(VENV)-bench .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
