# Short names for the commands that CONTRIBUTING.md describes; `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
python := .venv/bin/python

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: quick
quick: ## lint, types and the tests that take less than a minute
	@scripts/test.sh --quick

.PHONY: test
test: ## everything that a change must pass
	@scripts/test.sh

.PHONY: lint
lint: | .venv ## ruff, without changing a file
	$(python) -m ruff check .
	$(python) -m ruff format --check .

.PHONY: format
format: | .venv ## ruff: sort imports, format
	$(python) -m ruff check --fix .
	$(python) -m ruff format .

.PHONY: types
types: | .venv ## mypy
	$(python) -m mypy

.PHONY: build
build: | .venv ## the native functions, in place
	@scripts/build.sh .venv/bin/python

.PHONY: docs
docs: | .venv ## write the pages that are made from the code and from the rules
	$(python) -m wsgw options >docs/options.md
	$(python) -m tests.rules >docs/protocol.md
	$(python) -m tests.support.machines docs/architecture.md
	$(python) -m tests.ops.metrics_page docs/metrics.md

.PHONY: demo
demo: ## a gateway and an XMPP server on loopback
	@scripts/demo.sh

.venv:
	@. scripts/lib.sh
	make_environment requirements-dev.txt
