# What a user needs: "make demo" and "make test" set up whatever they need by themselves (see "make help").

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.act-installed
CE ?= sim
STAY ?=
JOBS ?= 1000
PYTEST ?=
DESTDIR ?=
PREFIX ?= /opt/act
EXTRAS ?=
PYTHON3 ?= python3
UNITDIR ?= /usr/lib/systemd/system

.PHONY: help demo test test-faults check bench install clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: $(STAMP) ## Run the main job here: PanDA, two CEs (CE=arex or condor: real ones), 20 jobs, in minutes (STAY=1: stay for actcli)
	@$(if $(filter condor,$(CE)),$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[condor]')
	@$(if $(filter arex condor,$(CE)),PYTHON=$(abspath $(PYTHON)) tests/setup.sh)
	@$(if $(filter arex condor,$(CE)),PYTHON=$(abspath $(PYTHON)) tests/grid/demo.sh $(CE),$(VENV)/bin/actctl demo)$(if $(STAY), --stay)

test: $(VENV)/.act-test ## Set up and run all tests (PYTEST="-k words" for some)
	@PYTHON=$(abspath $(PYTHON)) tests/setup.sh
	@tests/run.sh $(abspath $(PYTHON)) $(PYTEST)

test-faults: $(VENV)/.act-test ## Walk every fault point with every fault, on SQLite and MariaDB (an hour or two)
	@PYTHON=$(abspath $(PYTHON)) tests/setup.sh
	@tests/run.sh $(abspath $(PYTHON)) -n 4 tests/faults --all-faults $(PYTEST)

check: $(VENV)/.act-check ## ruff and mypy --strict
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy --strict act act_arc act_atlas act_condor

bench: $(VENV)/.act-test ## Drive JOBS=1000 jobs through tower and simulators on MariaDB and print the figures
	@PYTHON=$(abspath $(PYTHON)) tests/setup.sh
	@$(PYTHON) -m bench --jobs $(JOBS)

install: ## For packagers: environment at PREFIX=/opt/act, units, examples, completions below DESTDIR (EXTRAS=mysql,condor)
	@PYTHON=$(PYTHON3) EXTRAS=$(EXTRAS) systemd/install.sh '$(DESTDIR)' '$(PREFIX)' '$(UNITDIR)'

clean: ## Remove what these commands made here
	rm -rf $(VENV) .demo .pytest_cache .mypy_cache .ruff_cache .hypothesis bench/latest.json

# --- setting up -----------------------------------------------------------------------------------------------------

$(PYTHON):
	@python3 -c 'import ensurepip, venv' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	  apt-get install -y -qq python3-venv; } || { echo "python3-venv is missing: install it"; exit 1; }
	@python3 -m venv $(VENV)
	@$(PYTHON) -m pip install -q --disable-pip-version-check --upgrade pip

$(STAMP): setup.cfg | $(PYTHON)
	@$(PYTHON) -m pip install -q --disable-pip-version-check -e .
	@touch $@

# mysqlclient is compiled: the headers come first
$(VENV)/.act-test: setup.cfg tests/setup.sh | $(PYTHON)
	@PYTHON=$(abspath $(PYTHON)) tests/setup.sh --packages-only
	@$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[mysql,test]'
	@touch $@ $(STAMP)

$(VENV)/.act-check: setup.cfg | $(PYTHON)
	@$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[check]'
	@touch $@
