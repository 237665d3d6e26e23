# The one list of commands; CI calls the same.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test lint bench soak gpu docs clean

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

install: $(VENV)/.installed ## Install forewarn into .venv, at the versions that were tested.

install-dev: $(VENV)/.installed-dev ## The same, with what the tests need.

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: install ## Simulate 20 servers, train, and serve forecasts on http://127.0.0.1:9855.
	$(BIN)/forewarn demo

lint: install-dev ## Style, types and layers.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## Lint, then all tests, two files at a time; the longest come first.
	$(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

bench: install-dev ## Measure speed and memory beside peers; prints figures and ratios.
	$(BIN)/python -m tests.benchmarks

soak: install-dev ## The slow tests, then a week in about 30 minutes with kills and trainings; exits 1 if a promise is broken.
	$(BIN)/pytest -m slow
	$(BIN)/python -m tests.soak $(SOAK_ARGS)

gpu: install-dev ## GPU checks: train at level demo and forecast on the GPU that is there; refuses where there is none.
	@$(BIN)/python -c "import sys, torch; torch.cuda.is_available() or sys.exit(f'make gpu: torch {torch.__version__} sees no GPU on this machine; nothing was checked')"
	$(BIN)/pytest -m gpu
	rm -rf build/gpu
	$(BIN)/forewarn simulate --out build/gpu --hours 192
	$(BIN)/forewarn train --level demo --data build/gpu/server_metrics.parquet --models build/gpu/models

docs: install ## Render docs/configuration.md from the schema.
	$(BIN)/python -c "from daemon.config.reference import render; print(render(), end='')" > docs/configuration.md

clean: ## Remove the virtual environment and caches.
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build *.egg-info
