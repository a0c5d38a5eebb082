# Everything a fresh machine needs: Python 3.11 or newer, pip, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RUN    ?= runs/demo

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast check format bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

demo: $(READY) ## the whole pipeline on the CIA World Factbook, into runs/demo
	$(BIN)/longtrace demo --run $(RUN)

test: $(READY) ## the whole test suite
	$(BIN)/python -m pytest

test-fast: $(READY) ## the tests that take under a minute together
	$(BIN)/python -m pytest -m "not slow"

check: $(READY) ## format, lint, types, architecture
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet tests/test_architecture.py

format: $(READY) ## rewrite the sources as `check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY) ## speed and memory beside the bare libraries, as Markdown tables
	@for file in $(filter-out bench/measure.py,$(wildcard bench/*.py)); do $(BIN)/python $$file || exit 1; done

clean: ## remove the virtual environment and all runs
	rm -rf $(VENV) runs
