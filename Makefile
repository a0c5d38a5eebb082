# Everything a fresh machine needs: Python 3.11 or newer, pip, git and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
RUN    ?= runs/demo
# The engines have pins of their own, so each has an environment of its own.
VERL   := .venv-verl
SLIME  := .slime

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-slime test-verl check format bench experiment clean

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

# An engine that cannot be installed here is said to be skipped; a failing test is a failure.
test-slime: $(READY) ## our hooks in a checkout of slime, with its own contract tests
	@if [ -f $(SLIME)/slime/utils/types.py ] || git clone --quiet --depth 1 --branch v0.3.1 \
	    https://github.com/THUDM/slime $(SLIME); then \
	  [ -d $(SLIME)/deps/httpx ] || $(BIN)/pip install --quiet --target $(SLIME)/deps \
	    aiohttp httpx pillow pybase64 pylatexenc || \
	    { echo "SKIPPED: what slime imports cannot be installed here"; exit 0; }; \
	  export PYTHONPATH=$(CURDIR)/$(SLIME)/deps; \
	  $(BIN)/python -m pytest --quiet tests/training/test_slime.py tests/training/test_launch.py && \
	  cd $(SLIME) && export \
	    SLIME_CONTRACT_CUSTOM_RM_PATH=longtrace.training.slime.custom_rm \
	    SLIME_CONTRACT_CUSTOM_REWARD_POST_PROCESS_PATH=longtrace.training.slime.reward_post_process && \
	  for name in runtime_hook path_loading; do ../$(BIN)/python -m pytest --quiet -c /dev/null \
	    --rootdir . tests/plugin_contracts/test_plugin_$${name}_contracts.py || exit 1; done; \
	else echo "SKIPPED: no checkout of slime can be had here"; fi

test-verl: ## our reward and estimator in verl's own environment
	@if [ -f $(VERL)/.ready ] || { $(PYTHON) -m venv $(VERL) && \
	    $(VERL)/bin/python -m pip install --quiet torch==2.13.0 verl==0.9.1 cachetools TransferQueue \
	      pyzmq msgspec fastapi uvicorn pytest pytest-timeout hypothesis && \
	    $(VERL)/bin/python -m pip install --quiet --editable . && touch $(VERL)/.ready; }; then \
	  $(VERL)/bin/python -m pytest --quiet tests/training/test_verl.py tests/training/test_launch.py; \
	else echo "SKIPPED: verl cannot be installed here"; fi

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

experiment: $(READY) ## the experiment on the rubric: an hour of one core, tables and figures into docs
	$(BIN)/python experiments/rubric.py --out runs/experiment
	$(BIN)/python experiments/summary.py --out runs/experiment --docs docs

clean: ## remove the virtual environments and all runs
	rm -rf $(VENV) $(VERL) $(SLIME) runs
