# Everything is run from here; `make` alone lists the targets.
PYTHON ?= python3
VENV ?= .venv
# Any wheel of this release will do; `make setup TORCH=/path/to/wheel` takes another build, such as one without CUDA.
TORCH ?= torch==2.13.*
# The oldest versions that pyproject.toml declares, with the oldest Python. FLOORS_TORCH=/path/to/wheel of that version takes
# another build than the one of the index, such as one without CUDA.
FLOORS ?= .venv-floors
FLOORS_PYTHON ?= python3.10
FLOORS_TORCH ?=
# Two processes of one thread each: the tests are small, and idle threads cost more than they bring.
PYTEST ?= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check

.PHONY: help setup demo test test-all test-floors docs lint format clean

help:
	@echo "make setup     a virtual environment in $(VENV) with restorekit in it"
	@echo "make demo      restore a few pictures; the result is demo/"
	@echo "make test      the tests that every change must pass"
	@echo "make test-all  with the slow ones"
	@echo "make test-floors  the tests marked floors, at the oldest versions declared, in $(FLOORS)"
	@echo "make docs      the documentation as a site, to be opened from disk: site/index.html"
	@echo "make lint      format, style, types, direction of imports"
	@echo "make format    mend what of this can be mended by itself"
	@echo "make clean     remove what the other targets made, $(VENV) included"

setup: $(VENV)/.setup
lint format: $(VENV)/.lint

$(VENV)/.setup: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) "$(TORCH)" -e ".[test]"
	@touch $@

$(VENV)/.lint: $(VENV)/.setup
	$(PIP) "$(TORCH)" -e ".[dev]"
	@touch $@

$(VENV)/.docs: $(VENV)/.setup
	$(PIP) "$(TORCH)" -e ".[docs]"
	@touch $@

demo: setup
	$(BIN)/python examples/demo.py --out demo
	@echo "the result is in $(CURDIR)/demo"

test: setup
	$(PYTEST)

test-all: setup
	$(PYTEST) -m "not gpu"

# In one call of pip, or deepinv would take the newest torch.
$(FLOORS)/.setup: pyproject.toml tests/support/floors.py
	test -x $(FLOORS)/bin/python || $(FLOORS_PYTHON) -m venv $(FLOORS)
	$(FLOORS)/bin/python tests/support/floors.py test > $(FLOORS)/floors.txt
	$(FLOORS)/bin/python -m pip install -q --disable-pip-version-check -r $(FLOORS)/floors.txt $(FLOORS_TORCH) -e ".[test]"
	@touch $@

test-floors: $(FLOORS)/.setup
	OMP_NUM_THREADS=1 $(FLOORS)/bin/python -m pytest -q -n 2 -m floors

# The pictures of the gallery first, by running the examples; GALLERY= leaves them as they are.
GALLERY ?= yes
docs: $(VENV)/.docs
	$(if $(GALLERY),$(BIN)/python docs/_support/gallery.py)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "open $(CURDIR)/site/index.html"

lint:
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports
	$(BIN)/pyright --pythonpath $(BIN)/python

format:
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) $(FLOORS) build dist demo site docs/gallery *.egg-info .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
