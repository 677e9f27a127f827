# Every target sets up .venv first, if it is missing or older than what it was made from.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CONSTRAINTS := .ci/constraints.txt
OLDEST := .ci/constraints-oldest.txt
TORCH := $(shell sed -n '/^torch==/p' $(CONSTRAINTS))
SETUPTOOLS := $(shell sed -n '/^setuptools==/p' $(CONSTRAINTS))
# A second thread only waits for the first on networks as small as those of the tests and the demo.
export OMP_NUM_THREADS ?= 1
export MPLBACKEND ?= Agg
DOCS_JOBS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-oldest fuzz lint bench dist docs docs-check clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

demo: $(STAMP) ## Train a plain and a robust network on digits, attack both, print a table, save quickstart.png.
	$(BIN)/python examples/plot_quickstart.py

test: $(STAMP) ## Run the tests; PYTEST_ARGS adds options.
	SCIPY_ARRAY_API=1 $(BIN)/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

test-oldest: .venv-oldest/.installed ## Run the tests with the oldest versions that are supported.
	SCIPY_ARRAY_API=1 .venv-oldest/bin/python -m pytest --numprocesses auto --dist worksteal $(PYTEST_ARGS)

fuzz: $(STAMP) ## Fuzz for long: FUZZ_EXAMPLES of each kind, by default 2000, other ones each time.
	FUZZ_EXAMPLES=$(or $(FUZZ_EXAMPLES),2000) SCIPY_ARRAY_API=1 $(BIN)/python -m pytest -q --numprocesses auto tests/test_fuzz.py

lint: $(STAMP) ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

bench: $(STAMP) ## Run the benchmarks that need no data file; BENCH names others.
	for script in $(or $(BENCH),$(addprefix examples/benchmarks/bench_,fit.py defaults.py memory.py)); do $(BIN)/python $$script || exit 1; done

dist: $(STAMP) ## Build sdist and wheel, install the wheel into an empty environment, and try it there.
	rm -rf dist .venv-dist
	$(BIN)/python -m build --no-isolation
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet $(TORCH)
	.venv-dist/bin/python -m pip install --quiet -c $(CONSTRAINTS) dist/*.whl
	.venv-dist/bin/python -m pip check
	.venv-dist/bin/python .ci/smoke.py
	rm -rf .venv-dist

# The gallery keeps its examples until they change; pages of the API are written anew, so that none outlives its name.
docs: $(STAMP) ## Build the documentation in docs/_build/html, and run its examples; DOCS_JOBS processes, by default 2.
	rm -rf docs/generated
	$(BIN)/python -m sphinx -W --keep-going -q -j $(DOCS_JOBS) -b html -d docs/_build/doctrees docs docs/_build/html

docs-check: docs ## Check all links of the built documentation, and look at it in a headless Chromium.
	$(BIN)/python -m pytest -q -c docs/checks/pytest.ini --rootdir docs/checks docs/checks

clean: ## Remove what was built, not .venv.
	rm -rf build dist .venv-dist *.egg-info .pytest_cache .ruff_cache .hypothesis .coverage htmlcov quickstart.png
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find skrobust tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# torch goes in alone and first: its exact pin alone decides which build that is. Building without isolation keeps a
# second copy of it from being fetched for the build.
$(STAMP): pyproject.toml $(CONSTRAINTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet $(SETUPTOOLS)
	$(BIN)/python -m pip install --quiet --no-build-isolation -c $(CONSTRAINTS) -e '.[dev]'
	touch $@

.venv-oldest/.installed: pyproject.toml $(OLDEST)
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet $(shell sed -n '/^torch==/p' $(OLDEST))
	.venv-oldest/bin/python -m pip install --quiet $(shell sed -n '/^setuptools==/p' $(OLDEST))
	.venv-oldest/bin/python -m pip install --quiet --no-build-isolation -c $(OLDEST) -e '.[test]'
	touch $@
