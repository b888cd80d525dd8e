PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
BENCH_ARGS ?=

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Two pips at work in one environment would undo each other, so `make -j` runs the targets in turn too.
.NOTPARALLEL:
.PHONY: help demo test lint format bench bench-gpu clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "  (PYTHON=$(PYTHON) makes the environment, VENV=$(VENV) holds it)"

# pip is the last thing that venv puts there, so an interrupted creation is taken up again.
$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras: a set is installed once, and again when pyproject.toml changes.
$(INSTALLED)-%: pyproject.toml | $(BIN)/pip
	@echo 'Installing augdrop[$*] into $(VENV); PyTorch is large, so the first time takes minutes.'
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[$*]'
	@touch $@

demo: $(INSTALLED)-demo  ## drop regions from sample photographs into demo-output/
	$(BIN)/python examples/demo.py demo-output

test: $(INSTALLED)-test  ## run the whole suite, doctests included (PYTEST_ARGS=...)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(INSTALLED)-dev  ## check format, style and types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED)-dev  ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(INSTALLED)-bench  ## one table of speeds, peers beside us (BENCH_ARGS=...)
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-gpu: $(INSTALLED)-bench  ## check and time the kernels on a GPU (BENCH_ARGS=...)
	$(BIN)/python -m benchmarks.gpu $(BENCH_ARGS)

clean:  ## remove caches, builds and the demo's output; the environment stays
	rm -rf build dist demo-output .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
