# Every target sets up .venv first, if it is missing or older than what it was made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := .ci/constraints.txt
TORCH := $(shell sed -n '/^torch==/p' $(CONSTRAINTS))
SETUPTOOLS := $(shell sed -n '/^setuptools==/p' $(CONSTRAINTS))
# A second thread only waits for the first on networks as small as those of the tests and the demo.
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench clean

help: ## List the targets.
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

demo: $(STAMP) ## Train a plain and a robust network on digits, attack both, print a table, save quickstart.png.
	$(BIN)/python examples/plot_quickstart.py

test: $(STAMP) ## Run the tests; PYTEST_ARGS adds options.
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

lint: $(STAMP) ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP) ## Run the benchmarks that need no data file; BENCH names others.
	for script in $(or $(BENCH),$(addprefix examples/benchmarks/bench_,fit.py defaults.py memory.py)); do $(BIN)/python $$script || exit 1; done

clean: ## Remove what was built, not .venv.
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage htmlcov quickstart.png
	find skrobust tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes in alone and first: its exact pin alone decides which build that is. Building without isolation keeps a
# second copy of it from being fetched for the build.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet $(SETUPTOOLS)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c $(CONSTRAINTS) -e '.[dev]'
	touch $@
