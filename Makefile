# Two commands: `make demo` and `make test`. Each sets up .venv first, and is quick when that is done already.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What mends llama.cpp for some compilers, put before each of its sources.
LLAMA_FLAGS := -include '$(CURDIR)/deploy/llama.cpp/amx.h'
PIP := CXXFLAGS="$(LLAMA_FLAGS) $$CXXFLAGS" $(BIN)/python -m pip install --quiet --no-deps
SMOKE := $(BIN)/python -m pipeline.adapters.llama.smoke
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos fuzz check audit format lock clean

help: ## Show what there is
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 18

setup: $(READY) ## Make .venv with everything in it

# One environment for use and development, from hashes only. llama-cpp-python is compiled for this machine's processor:
# 5 to 10 minutes the first time; pip keeps the wheel.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "make: Python 3.11 or newer is needed ($(PYTHON) is not): make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 2; }
	@command -v $${CXX:-c++} >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1 || \
	  { echo "make: a C++ compiler is needed to build llama.cpp for this machine: install g++ or clang++ (Debian: apt install g++)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
	  { echo "make: this Python cannot make virtual environments (Debian: apt install python3-venv)" >&2; rm -rf $(VENV); exit 2; }
	@echo "setting up $(VENV) (a first time compiles llama.cpp: 5 to 10 minutes on 2 cores)"
	@$(PIP) --require-hashes -r requirements.lock 2>$(VENV)/install.log || \
	  { tail -n 30 $(VENV)/install.log >&2; echo "make: installing failed; see above and $(VENV)/install.log, then run make again: what is built is kept" >&2; exit 2; }
	@$(PIP) --no-build-isolation --editable .
	@$(SMOKE) >$(VENV)/smoke.log 2>&1 || { \
	  echo "llama.cpp as pip had kept it does not run on this processor: compiling it again"; \
	  sed -n '/^llama-cpp-python==/,/[^\\]$$/p' requirements.lock > $(VENV)/llama.lock; \
	  $(BIN)/python -m pip cache remove llama_cpp_python >/dev/null 2>&1; \
	  $(PIP) --force-reinstall --require-hashes -r $(VENV)/llama.lock 2>$(VENV)/install.log && $(SMOKE) >$(VENV)/smoke.log 2>&1; } || \
	  { echo "make: llama.cpp does not run here; see $(VENV)/smoke.log and $(VENV)/install.log" >&2; exit 2; }
	@touch $(READY)

demo: $(READY) ## Run the sample tickets through real models (fetches 1.6 GB of models the first time)
	@$(BIN)/python -m pipeline.cli demo

# Two processes, each with its own half of the CPUs; a file's tests stay together, since they share a loaded model.
test: $(READY) ## Run all tests (TEST_PROCESSES at once, 2)
	@$(BIN)/python -m pytest --numprocesses=$${TEST_PROCESSES:-2} --dist=loadfile

chaos: $(READY) ## Do to runs what bad nights do, at random, and compare their tables with quiet ones (an hour)
	@$(BIN)/python -m tests.chaos --each
	@$(BIN)/python -m tests.chaos --seeds 20 --items 20000

fuzz: $(READY) ## Read hostile jobs, inputs, logs, labels, models and messages for 10 minutes (FUZZ_SECONDS)
	@FUZZ_SECONDS=$${FUZZ_SECONDS:-600} $(BIN)/python -m pytest --timeout=0 tests/fuzz

check: $(READY) ## Lint, types, import contracts, security
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/bandit --quiet --recursive --configfile pyproject.toml pipeline workers migrations

audit: $(READY) ## Look requirements.lock up among the known vulnerabilities (needs PyPI's advisories)
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock || \
	  { echo "make: not audited, or not clean: a vulnerable release is named above; where none is, PyPI's advisories cannot be reached from here" >&2; exit 1; }

format: $(READY) ## Format the code
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## Renew requirements.lock (needs uv)
	uv pip compile pyproject.toml --extra dev --generate-hashes --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --output-file requirements.lock

clean: ## Remove .venv and caches; data and models stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
