# SoulPad. `make help` says what there is. Everything is made in .venv, .cache and build, which git ignores.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
PYTHON := .venv/bin/python
MACHINE := .cache/stamps/machine
VENV := .venv/installed
# Two files, in their order: an emulated PC takes a processor, and the second one of this machine would stand idle.
TWO_AT_A_TIME := -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help
help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.PHONY: demo
demo: setup ## build a stick and let one session wander from PC A to PC B (emulated)
	$(SUDO) $(PYTHON) -m demo.walk

.PHONY: test
test: setup check ## set up everything and pass all tests, the cheap ones first; AGAIN=1: also where nothing has changed
	$(SUDO) $(PYTHON) -m tests.unchanged $(if $(AGAIN),--again) $(TWO_AT_A_TIME) tests/unit tests/formats tests/component tests/boot

.PHONY: check
check: setup ## lint, formatting, strict types, and who imports whom
	.venv/bin/ruff check --quiet .
	.venv/bin/ruff format --check --quiet .
	.venv/bin/mypy --no-error-summary
	.venv/bin/lint-imports --no-cache > .cache/imports.log || { cat .cache/imports.log; exit 1; }

.PHONY: unit
unit: setup ## the tests that need no root and no tools (seconds)
	$(PYTHON) -m pytest -q $(TWO_AT_A_TIME) tests/unit tests/formats

.PHONY: benchmark
benchmark: setup ## measure resume, boot, fifty sessions, work after a resume, backups, beside other ways (three hours)
	$(SUDO) $(PYTHON) benchmarks/resume.py
	$(SUDO) $(PYTHON) benchmarks/boot.py
	$(SUDO) $(PYTHON) benchmarks/cycles.py
	$(SUDO) $(PYTHON) benchmarks/runtime.py
	$(SUDO) $(PYTHON) benchmarks/checkin.py

.PHONY: bench-data
bench-data: setup ## make the disks and memories that backups are measured on (half an hour; kept in .cache)
	$(SUDO) $(PYTHON) benchmarks/data.py --quick
	$(SUDO) $(PYTHON) benchmarks/data.py

.PHONY: powercut
powercut: setup ## cut the power at 1000 points of a parcel's life, below a real file system (minutes)
	$(SUDO) $(PYTHON) -m tests.powercut --cuts 1000

.PHONY: pairs
pairs: setup ## take sessions from every emulated PC to every other one (hours; goes on where it was broken off)
	$(SUDO) $(PYTHON) -m tests.pairs --jobs 2

.PHONY: setup
setup: $(MACHINE) $(VENV) ## install what this machine lacks, and the project's own Python environment

$(MACHINE): setup/debian-packages.toml setup/list_packages.py
	@mkdir -p $(@D)
	@if [ ! -e $@ ]; then $(SUDO) apt-get update -q; fi
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$(/usr/bin/python3 setup/list_packages.py)
	@touch $@

$(VENV): pyproject.toml $(MACHINE)
	@[ -x $(PYTHON) ] || /usr/bin/python3 -m venv .venv
	$(PYTHON) -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $@

.PHONY: clean
clean: ## remove build products, keep the caches
	rm -rf build

.PHONY: distclean
distclean: clean ## remove the caches and the Python environment too
	$(SUDO) rm -rf .cache .venv
