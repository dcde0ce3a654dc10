# Each target does its own set-up: a virtual environment in .venv with the package installed in place.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
.DEFAULT_GOAL := help
.PHONY: help quickstart test lint format types bench clean

help: ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

# A stamp per set of extras, remade when pyproject.toml changes; each set is added to the same environment.
$(VENV)/.installed-%: pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -e '.[$*]'
	@touch $@

quickstart: $(VENV)/.installed-openmoji ## learn OpenMoji and draw new ones, in about 8 minutes
	$(BIN)/vqgen quickstart $(ARGS)

# A test process that dies ends the run: begun anew, pytest-xdist would wait for it for ever.
test: $(VENV)/.installed-dev lint ## lint, types and tests
	$(BIN)/python -m pytest -n auto --dist loadfile --max-worker-restart=0 $(ARGS)

lint: $(VENV)/.installed-dev ## formatting, lint and types, changing nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.installed-dev ## format and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# First speed and memory beside the peers, then how cost grows and what quality costs; last what all of it says.
SPEED := nearest sampling training tokenizer order
COST := growth loader attention segment_memory tokenize_folder
QUALITY := quantizers adversarial groups signals
bench: $(VENV)/.installed-bench ## speed against peers and quality, written to benchmarks/results; about three hours
	set -e; for program in $(SPEED) $(COST) $(QUALITY); do $(BIN)/python benchmarks/$$program.py $(ARGS); done
	$(BIN)/python benchmarks/plot.py
	$(BIN)/python benchmarks/regression.py

clean: ## remove the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
