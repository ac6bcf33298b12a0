# Everything from a bare clone with git, make, Python 3.11 or newer and pip. `make help` lists it.

VENV ?= .venv
PYTEST_ARGS ?=
CHECKPOINT ?= model/checkpoints/moving-shapes
STAGE ?= demo
CONFIG ?=
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
INSTALLED := $(VENV)/installed-run
INSTALLED_DEV := $(VENV)/installed-dev

.DEFAULT_GOAL := help
.PHONY: run serve test check coverage bench train eval chaos clean help redis-server chromium

help: ## list the verbs
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

run: $(INSTALLED) ## text to video with caption, then that video back to a caption, into out/
	$(BIN)/python -m cli.first_run --out out

serve: $(INSTALLED) ## the whole service on this machine, until Ctrl-C
	$(BIN)/univigu serve

test: $(INSTALLED_DEV) redis-server chromium ## the tests, against real servers and the shipped checkpoint
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: $(INSTALLED_DEV) ## lint, format, types, import rules
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: $(INSTALLED_DEV) redis-server chromium ## the tests again, with the lines they leave out
	$(BIN)/python -m pytest $(PYTEST_ARGS) --cov

bench: $(INSTALLED_DEV) ## every ratio of benchmarks/, as a table and as JSON
	$(BIN)/python -m benchmarks

train: $(INSTALLED) ## a training stage: STAGE=name CONFIG=file
	$(BIN)/univigu train $(STAGE) --config $(CONFIG)

eval: $(INSTALLED) ## scores of CHECKPOINT
	$(BIN)/univigu eval --checkpoint $(CHECKPOINT)

chaos: $(INSTALLED_DEV) redis-server ## the slow tests, which kill every kind of process
	$(BIN)/python -m pytest -m slow $(PYTEST_ARGS)

clean: ## remove the environment, caches and results; never data/
	rm -rf $(VENV) out benchmarks/out .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	rm -rf .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Some tests also run on a second server, Debian's Redis, where it is or can be installed; RUNLEVEL
# keeps the package from starting one of its own.
redis-server:
	@command -v redis-server >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null \
	|| DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 timeout 120 \
	   apt-get install -y -qq --no-install-recommends redis-server </dev/null >/dev/null 2>&1 \
	|| echo "no second Redis here; its tests run on the embedded one alone"

chromium:
	@command -v chromium >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null \
	|| DEBIAN_FRONTEND=noninteractive timeout 300 \
	   apt-get install -y -qq --no-install-recommends chromium </dev/null >/dev/null 2>&1 \
	|| echo "no Chromium here; the tests of the demo page are skipped"

$(VENV)/made:
	@set -e; for python in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
	  if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
	    >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$($$python --version)"; \
	    "$$python" -m venv $(VENV); touch $@; exit; \
	  fi; \
	done; \
	echo "Python 3.11 or newer with its venv module is needed, and none was found." >&2; \
	echo "Install one (on Debian: python3 and python3-venv) or name it: make PYTHON=/path" >&2; \
	exit 1

$(INSTALLED): pyproject.toml constraints.txt $(VENV)/made
	@echo "installing what the service needs (minutes the first time, for torch)"
	$(PIP) hatchling
	$(PIP) --no-build-isolation --editable '.[worker,embedded]'
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "installing what the tests and checks need"
	$(PIP) --no-build-isolation --editable '.[worker,embedded,train,dev]'
	@touch $@
