# Everything a developer does: each target first sets up what it needs.
#
#   make serve [ARGS=...]   the server on http://127.0.0.1:8188
#   make test               lint, types, rules of imports, tests
#   make bench              measurements
#   make golden GOLDEN=DIR  nodes and diffusion library against a folder of recorded numbers
#   make wheels             the distributions as wheels, in dist/
#   make install            the virtual environment .venv, all distributions editable
#   make clean              remove the virtual environment and caches

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Published clients of the API, for their tests alone.
CLIENTS := tests/e2e/clients/requirements.txt
# The oldest version of the official page that is supported, for its tests in a browser.
OLDER_PAGE := comfyui-frontend-package==1.27.10
ARGS ?=
BASE ?= data
TEST_PROCESSES ?= 2
GOLDEN ?= ../shared/golden

DISTRIBUTIONS := sdk kernel cli $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))
PROJECT_FILES := pyproject.toml $(DISTRIBUTIONS:%=%/pyproject.toml)
PIP := $(BIN)/pip --disable-pip-version-check
TORCH := $(shell grep '^torch==' constraints.txt)
BUILD_TOOLS := hatchling editables

.PHONY: install serve test lint types imports pytest bench wheels clean
.DELETE_ON_ERROR:

install: $(STAMP)

$(STAMP): constraints.txt $(CLIENTS) $(PROJECT_FILES)
	@command -v git >/dev/null || { echo "git is missing: install it and run make again." >&2; exit 1; }
	@$(PYTHON) -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "$(PYTHON) is missing, older than 3.11 or has no venv module: install Python 3.11, or name one with PYTHON=..." >&2; \
	    exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet $(TORCH)
	$(PIP) install --quiet -c constraints.txt $(BUILD_TOOLS)
	$(PIP) install --quiet --no-build-isolation -c constraints.txt $(DISTRIBUTIONS:%=-e %) -e '.[dev]'
	$(PIP) install --quiet --no-deps --upgrade --target $(VENV)/clients -r $(CLIENTS)
	$(PIP) install --quiet --no-deps --upgrade --target $(VENV)/older_page $(OLDER_PAGE)
	@touch $@

serve: install
	$(BIN)/comfykernel serve --listen 127.0.0.1 --port 8188 --base-directory $(BASE) $(ARGS)

test: lint types imports pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

imports: install
	$(BIN)/lint-imports

pytest: install
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile

bench: install
	@for each in $$(grep -l '^from figures import' benchmarks/*.py); do $(BIN)/python $$each || exit 1; done

wheels: install
	$(PIP) wheel --quiet --no-deps --no-index --no-build-isolation --wheel-dir dist $(DISTRIBUTIONS:%=./%) .

golden: install
	OMP_NUM_THREADS=1 $(BIN)/python -m comfykernel_core_nodes.golden $(GOLDEN)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
