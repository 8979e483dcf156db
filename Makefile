# Python 3.10 or newer and make are all that is needed; the rest goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lowest newest against lint bench evaluate format build clean

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP) ## make .venv with everything in it

$(SETUP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo 'Python 3.10 or newer is needed; name one: make setup PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' \
	  || { echo 'This Python has no venv; on Debian: apt-get install python3-venv'; exit 1; }
	@echo 'Setting up $(VENV), once: a minute or less with a fast network.'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(SETUP) ## hear a recording being transcribed on this machine, without a key
	@$(BIN)/python examples/demo.py

# Every worker reads every test file: they share what was compiled, on machines that keep nothing else, too.
test: export PYTHONDONTWRITEBYTECODE :=
test: $(SETUP) ## run all tests, no key needed; ARGS='-k word' runs some
ifdef ARGS
	$(BIN)/python -m pytest -n auto $(ARGS)
else
	$(BIN)/python -m pytest -n auto -m 'not alone'
	$(BIN)/python -m pytest -p no:xdist -m alone tests/docs
endif

coverage: $(SETUP) ## run all tests and see that they take most branches; twice as slow
	$(BIN)/python -m pytest -n auto -m 'not alone' --cov --cov-report=
	$(BIN)/python -m pytest -p no:xdist -m alone tests/docs --cov --cov-append

# With LiveKit Agents and all the others as old, or as new, as pyproject.toml allows.
lowest: INSTALLED := --resolution lowest-direct
lowest: against ## run the tests of the client with the oldest versions allowed
newest: INSTALLED := --prerelease allow
newest: against ## run the tests of the client with the newest versions, unfinished ones included

against:
	$(PYTHON) -m venv --clear .venv-against
	.venv-against/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-against/bin/uv pip install --quiet --python .venv-against $(INSTALLED) -e '.[dev]'
	.venv-against/bin/python -m pytest -n auto tests/unit tests/loopback tests/agents $(ARGS)

lint: $(SETUP) ## ruff, mypy and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy livekit examples tests
	$(BIN)/pyright --pythonpath $(BIN)/python

bench: $(SETUP) ## measure speed beside other plugins, for an hour; fills docs/performance.md
	$(BIN)/python benchmarks/instructions.py --write
	$(BIN)/python benchmarks/run.py --write $(ARGS)

evaluate: $(SETUP) ## hear with a real Whisper, for some minutes; fills docs/recognition.md
	$(BIN)/python benchmarks/recognition.py --write $(ARGS)

format: $(SETUP) ## let ruff arrange the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

build: $(SETUP) ## build the wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove .venv, caches and what was built
	rm -rf $(VENV) .venv-peer .venv-against dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
