# The targets that people and CI use.  Servers and downloads: tests/services; everything else: .venv.
PYTHON ?= python3
BIN := .venv/bin
MINUTES ?= 60
JOBS ?= 2
SERVERS := mysql mysql9? mariadb mariadb11? kafka registry redis postgres elasticsearch
PROGRAMS := helm chromium

.DEFAULT_GOAL := help
.PHONY: help setup demo test check services services-stop faults bench kubernetes lock audit site docs format clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.installed  ## make .venv with everything, the command meepo2-cdc installed in it

.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than 3.11; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || \
	  { rm -rf .venv; echo "make: no venv; on Debian: apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/pip install -q --upgrade 'pip>=25.1'
	$(BIN)/pip install -q --constraint constraints.txt --editable . --group dev
	@touch $@

demo: setup  ## a real MariaDB and a real Kafka, seven statements, thirteen records
	@$(BIN)/python -m examples.demo

test: setup  ## every test there is, against real servers; nothing is skipped
	@$(BIN)/python -m tests.services up $(SERVERS) $(PROGRAMS)
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --durations 15

check: setup  ## format, lint, types, unit tests; under a minute
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest tests/unit

services: setup  ## start real servers: make services S="mysql kafka"
	@$(BIN)/python -m tests.services up $(or $(S),$(SERVERS))
	@echo "their addresses:  . .services/env"

services-stop: setup  ## stop the servers that were started here
	@$(BIN)/python -m tests.services down $(S)

faults: setup  ## the fault tests for longer: make faults MINUTES=60
	@$(BIN)/python -m tests.services up $(SERVERS)
	MEEPO2_FAULT_SECONDS=$$(( $(MINUTES) * 60 )) $(BIN)/pytest tests/faults --timeout $$(( $(MINUTES) * 120 + 600 ))

bench: setup  ## ours and its peers side by side: make bench PEERS="maxwell=/path/to/run.sh" ARGS="--scale 0.1"
	$(BIN)/python -m tests.benchmarks $(if $(PEERS),--peers $(PEERS)) $(ARGS)

kubernetes: setup  ## show the chart's objects to a real API server, which is built once, in ten minutes
	@$(BIN)/python -m tests.helm.cluster

site: setup  ## the documentation as a site, in dist/site; fails at a dead link
	$(BIN)/sphinx-build -q -W --keep-going -c docs . dist/site
	@echo "dist/site/docs/index.html"

lock:  ## write constraints.txt anew: the newest of everything, out of an environment of its own
	@rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install -q --upgrade 'pip>=25.1'
	.venv-lock/bin/pip install -q --editable . --group dev
	@{ head -1 constraints.txt; .venv-lock/bin/pip freeze --exclude-editable; } > constraints.new
	@mv constraints.new constraints.txt && rm -rf .venv-lock

audit:  ## known vulnerabilities of what constraints.txt names, as PyPI tells
	@$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install -q pip-audit
	.venv-audit/bin/pip-audit --no-deps --disable-pip --requirement constraints.txt
	@rm -rf .venv-audit

docs: setup  ## make the reference pages from the program
	@$(BIN)/python -m tests.reference
	@$(BIN)/python -m tests.helm

format: setup  ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: services-stop  ## stop the servers and remove what was made here
	rm -rf .services .venv
