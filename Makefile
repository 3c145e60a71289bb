# One command for each thing one does with this repository; `make` alone lists them.
#
# Everything is installed into .venv from locks with hashes; a stamp file remembers that it was, so a second run starts
# at once and a changed lock installs again. All paths here are relative: Make cannot handle spaces in the others.

PYTHON ?= python3
PORT ?= 8000
# Not `?=`: build environments (conda's compilers, csh) export HOST with another meaning. `make serve HOST=0.0.0.0` works.
HOST = 127.0.0.1
SERVE_ARGS ?=
PYTEST_ARGS ?=
# Tests run in this many processes; `make test WORKERS=0` runs them in one, in order, with a debugger if need be.
WORKERS ?= 2
IMAGE ?= wengert-server
BENCH_ARGS ?=
DOCKER ?= docker
DOCKER_ARGS ?=
# `make lock LOCK_ARGS=--upgrade` takes new versions, `LOCK_ARGS="--upgrade-package numpy"` one of them.
LOCK_ARGS ?=
PIP_TOOLS = pip-tools==7.6.2

VENV = .venv
BIN = $(VENV)/bin
PEERS_VENV = .venv-peers
BENCH_VENV = .venv-bench
# Beside the one before, where the benchmarks look for it.
TESSERACT_VENV = .venv-bench-tesseract
LOCK_VENV = .venv-lock

export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_NO_INPUT = 1
# Settings of this kind in the caller's environment would send packages past the virtual environment.
unexport PIP_USER PIP_TARGET PIP_PREFIX PYTHONHOME

# Two installations into one environment at the same time would break it, so `make -j` is not followed.
.NOTPARALLEL:
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help install serve test test-peers lint format docs tape bench lock docker clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  PYTHON=$(PYTHON) PORT=$(PORT) HOST=$(HOST) WORKERS=$(WORKERS) PYTEST_ARGS= SERVE_ARGS= IMAGE=$(IMAGE) can be set, as in"
	@echo "  make serve PORT=9000          make test PYTEST_ARGS='-k solve -x'          make serve PYTHON=python3.13"

install: $(VENV)/.runtime ## set up .venv with what the server needs

serve: $(VENV)/.runtime ## install what is missing and run the server on HOST and PORT
	@exec $(BIN)/wengert-server serve --host "$(HOST)" --port "$(PORT)" $(SERVE_ARGS)

test: $(VENV)/.test ## run the whole test suite (PYTEST_ARGS='-k name')
	@$(BIN)/python -m engine.tape.ahead
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(PYTEST_ARGS)

test-peers: $(PEERS_VENV)/.peers ## run the comparisons with PyTorch and JAX (installs them into .venv-peers)
	@$(PEERS_VENV)/bin/python -m pytest -m peers $(PYTEST_ARGS)

lint: $(VENV)/.lint ## check style, formatting and types
	@failed=; for check in "ruff check ." "ruff format --check ." mypy; do \
	    echo "$$check"; $(BIN)/$$check || failed=yes; \
	done; test -z "$$failed"

format: $(VENV)/.lint ## format the sources and fix what can be fixed by itself
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(VENV)/.runtime ## write the op pages from the op catalogue
	$(BIN)/python scripts/opdocs.py

tape: $(VENV)/.runtime ## write the tape machines from the op catalogue, and compile them
	$(BIN)/python -m engine.tape.generate
	$(BIN)/python -m engine.tape.generate_runs
	@$(BIN)/python -m engine.tape.ahead

bench: $(BENCH_VENV)/.bench $(TESSERACT_VENV)/.tesseract ## measure beside other systems and write docs/performance.md (BENCH_ARGS=--quick)
	@$(BENCH_VENV)/bin/python -m benchmarks $(or $(BENCH_ARGS),--write)

docker: ## build the container image
	$(DOCKER) build --tag "$(IMAGE)" $(DOCKER_ARGS) .

clean: ## remove the environments and everything that was made
	rm -rf $(VENV) $(PEERS_VENV) $(BENCH_VENV) $(TESSERACT_VENV) $(LOCK_VENV) build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find engine service tests clients benchmarks scripts docs -name node_modules -prune \
	    -o -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# ------------------------------------------------------------------------------------------------------- environments

# $(call install,bin folder,requirement files): exactly what the locks say, then the project itself as it lies here.
define install
	@echo "Installing $(2) into $(patsubst %/bin,%,$(1)) ..."
	@$(1)/python -m pip install -qq --require-hashes $(foreach lock,build.txt $(2),--requirement requirements/$(lock))
	@$(1)/python -m pip install -qq --no-build-isolation --no-deps --editable .
endef

# $(call venv,folder): a fresh virtual environment, or a sentence about what is missing for one.
define venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed; '$(PYTHON)' is not that. Name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv --clear $(1)
	@touch $@
endef

$(VENV)/.made:
	$(call venv,$(VENV))

# With both extras, and what Numba compiles compiled, so that no request waits for that.
$(VENV)/.runtime: $(VENV)/.made requirements/build.txt requirements/server.txt requirements/runtime.in requirements/fast.in requirements/plots.in pyproject.toml
	$(call install,$(BIN),server.txt)
	@$(BIN)/python -m engine.tape.ahead
	@touch $@

$(VENV)/.test: $(VENV)/.runtime requirements/test.txt
	$(call install,$(BIN),test.txt)
	@touch $@

$(VENV)/.lint: $(VENV)/.runtime requirements/lint.txt
	$(call install,$(BIN),lint.txt)
	@touch $@

$(PEERS_VENV)/.made:
	$(call venv,$(PEERS_VENV))

$(PEERS_VENV)/.peers: $(PEERS_VENV)/.made requirements/build.txt requirements/test.txt requirements/peers.txt requirements/runtime.in pyproject.toml
	$(call install,$(PEERS_VENV)/bin,test.txt)
	@echo "Installing peers.txt into $(PEERS_VENV) ..."
	@$(PEERS_VENV)/bin/python -m pip install -qq --requirement requirements/peers.txt
	@touch $@

$(BENCH_VENV)/.made:
	$(call venv,$(BENCH_VENV))

$(BENCH_VENV)/.bench: $(BENCH_VENV)/.made requirements/build.txt requirements/test.txt requirements/bench.txt requirements/runtime.in pyproject.toml
	$(call install,$(BENCH_VENV)/bin,test.txt)
	@echo "Installing bench.txt into $(BENCH_VENV) ..."
	@$(BENCH_VENV)/bin/python -m pip install -qq --requirement requirements/bench.txt
	@$(BENCH_VENV)/bin/python -m engine.tape.ahead
	@touch $@

$(TESSERACT_VENV)/.made:
	$(call venv,$(TESSERACT_VENV))

$(TESSERACT_VENV)/.tesseract: $(TESSERACT_VENV)/.made requirements/tesseract.txt
	@echo "Installing tesseract.txt into $(TESSERACT_VENV) ..."
	@$(TESSERACT_VENV)/bin/python -m pip install -qq --requirement requirements/tesseract.txt
	@touch $@

# --------------------------------------------------------------------------------------------------------------- locks

# Run with the oldest Python supported: what resolves there has wheels for the newer ones. The machine's own pip
# settings are left out, so that a lock has the same versions and hashes wherever it is made.
COMPILE = PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= $(LOCK_VENV)/bin/pip-compile --quiet --strip-extras --no-annotate \
    --no-header --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options $(LOCK_ARGS)

# $(call sealed,name,inputs,options): requirements/name.txt, with the hashes of every build of every package.
define sealed
	$(COMPILE) --generate-hashes $(3) --output-file requirements/$(1).txt $(foreach file,$(2),requirements/$(file).in)
	@{ echo "# Written by 'make lock' from $(foreach file,$(2),$(file).in); not to be edited."; grep -v -E '^(#|$$)' requirements/$(1).txt; } \
	    > requirements/$(1).tmp && mv requirements/$(1).tmp requirements/$(1).txt
endef

# $(call beside,name,options): requirements/name.txt with PyTorch in it, to be installed on top of test.txt.
define beside
	$(COMPILE) $(2) --output-file requirements/$(1).txt requirements/$(1).in
	@{ echo "# Written by 'make lock' from $(1).in; not to be edited."; \
	   echo "# Without hashes: PyTorch publishes several builds under one version (with CUDA, for processors only, ...), and"; \
	   echo "# which of them is installed depends on the machine. Its CUDA libraries are left to its own metadata, since"; \
	   echo "# only some of the builds need them. Installed on top of test.txt, which is sealed."; \
	   grep -v -E '^(#|$$|cuda-|nvidia-|triton)' requirements/$(1).txt; } > requirements/$(1).tmp && mv requirements/$(1).tmp requirements/$(1).txt
endef

lock: $(LOCK_VENV)/.tools ## write requirements/*.txt anew from requirements/*.in (LOCK_ARGS=--upgrade)
	@$(LOCK_VENV)/bin/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || { \
	    echo "Locks are made with Python 3.11, the oldest supported: make clean; make lock PYTHON=python3.11" >&2; exit 1; }
	$(call sealed,build,build,--allow-unsafe)
	$(call sealed,runtime,runtime,)
	$(call sealed,server,runtime fast plots,--constraint requirements/runtime.txt)
	$(call sealed,test,runtime fast plots test,--constraint requirements/server.txt)
	$(call sealed,lint,runtime lint,--constraint requirements/runtime.txt --constraint requirements/test.txt)
	$(call beside,peers,--constraint requirements/test.txt)
	$(call beside,bench,--constraint requirements/test.txt --constraint requirements/peers.txt)
	$(COMPILE) --output-file requirements/tesseract.txt requirements/tesseract.in
	@{ echo "# Written by 'make lock' from tesseract.in; not to be edited."; \
	   echo "# Without hashes: it is measured beside the server, in an environment of its own, and never part of it."; \
	   grep -v -E '^(#|$$)' requirements/tesseract.txt; } > requirements/tesseract.tmp && mv requirements/tesseract.tmp requirements/tesseract.txt

$(LOCK_VENV)/.made:
	$(call venv,$(LOCK_VENV))

$(LOCK_VENV)/.tools: $(LOCK_VENV)/.made
	@$(LOCK_VENV)/bin/python -m pip install -qq "$(PIP_TOOLS)"
	@touch $@
