# Every command of the project. `make help` lists them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# tfcheck stands in for Google's provider where its registry is out of reach; .ci/run installs it.
TFCHECK ?= PYTHONPATH=../shared/tools/tfcheck build/tfcheck/bin/python
# What `make infra` checks the plans with.
PLANS ?= terraform -chdir=infra/gcp init -backend=false -input=false && terraform -chdir=infra/gcp validate && terraform -chdir=infra/gcp test

.DEFAULT_GOAL := help
.PHONY: help run test faults timing test-browser check secrets infra mutations gcloud-check bench bench-plot bench-cpu format openapi postman erd lock function ops backfill stripe-setup deploy clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.local ## everything on http://localhost:8000 (PORT moves it), no account and no Docker needed
	@exec python -m infra.local

test: $(VENV)/.tests ## all tests but the browser's (ARGS="-k story" for some)
	@python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore=tests/browser --ignore=tests/bench $(ARGS)

test-browser: $(VENV)/.tests ## the client in Chromium, which must be installed (ARGS="-k keyboard" for some)
	@python -m pytest -n 2 --dist loadfile tests/browser $(ARGS)

faults: $(VENV)/.tests ## what may go wrong, all of it: deaths, outages, load, wrong clocks (docs/reliability.md; FAULTS_SEED=… again)
	@rm -rf build/faults build/faults.json
	@FAULTS=all python -m pytest -s --timeout 3600 tests/faults $(ARGS); ended=$$?; python -m tests.faults.counts; exit $$ended

timing: $(VENV)/.timing ## whether the time an answer takes tells who has an account (docs/security.md)
	@python -m tests.timing $(ARGS)

check: $(VENV)/.tests ## formatter, linters, types, import contracts, secrets, generated files up to date
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	bandit -q -c pyproject.toml -r main.py lib functions infra
	python -m tests.secret_scan
	python -m infra.local.openapi --check
	python -m infra.local.postman --check
	python -m infra.local.erd --check

secrets: $(VENV)/.tests ## every line that was ever committed, looked through for keys and passwords
	@python -m tests.secret_scan --history

infra: $(VENV)/.tests build/checkov/.done ## the Google Cloud configuration: format, facts of the plans, checkov (needs Terraform)
	terraform fmt -check -recursive infra/gcp
	$(PLANS)
	build/checkov/bin/checkov -d infra/gcp --framework terraform --quiet --compact --skip-download

mutations: ## every fact of the plans seen red once: ten minutes (ARGS="login" for some; see infra/gcp/README.md)
	$(TFCHECK) infra/gcp/tests/mutations.py $(ARGS)

gcloud-check: $(VENV)/.tests ## gcloud commands in docs and scripts by gcloud's own parser, and its upload list
	python -m infra.gcp.tests.gcloud_commands

bench: $(VENV)/.bench build/production/.done ## Streamly against what one would build instead; needs wrk; a quarter of an hour (ARGS="playback" for a part)
	@python -m pytest -q tests/bench
	@python -m tests.bench $(ARGS)

bench-plot: $(VENV)/.tests ## docs/performance.svg from what the last `make bench` found
	@python -m tests.bench.plot

bench-cpu: $(VENV)/.tests ## CPU that one request costs, for docs/scaling.md (Linux; some minutes)
	python -m tests.bench.cpu_per_request $(ARGS)

format: $(VENV)/.tests ## format the code and mend what the linter can
	ruff check --fix-only .
	ruff format .

openapi: $(VENV)/.tests ## write functions/api_docs/openapi.json anew
	python -m infra.local.openapi

postman: $(VENV)/.tests ## write docs/streamly.postman_collection.json anew
	python -m infra.local.postman

erd: $(VENV)/.tests ## write docs/erd.md anew
	python -m infra.local.erd

lock: $(VENV)/.tests ## pin all dependencies anew, with hashes, from pyproject.toml
	uv pip compile -q --universal --python-version 3.11 --generate-hashes pyproject.toml -o requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes -c requirements.txt pyproject.toml --group local -o infra/local/requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes -c requirements.txt pyproject.toml --group dev -o tests/requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes tests/emulator-requirements.in -o tests/emulator-requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes -c tests/requirements.txt tests/timing/requirements.in -o tests/timing/requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes -c tests/requirements.txt tests/bench/requirements.in -o tests/bench/requirements.txt
	uv pip compile -q --universal --python-version 3.11 --generate-hashes infra/gcp/tests/requirements.in -o infra/gcp/tests/requirements.txt

function: $(VENV)/.local ## one function alone with the settings of `make run`: make function NAME=login PORT=8080
	@test -f .local/functions.env || { echo "start \`make run\` once first: it makes the settings"; exit 1; }
	@test -n "$(NAME)" || { echo "which one? make function NAME=login"; exit 1; }
	@set -a; . .local/functions.env; set +a; exec functions-framework --target "$(NAME)" --port "$${PORT:-8080}"

ops: $(VENV)/.local ## the operator's command line: make ops ARGS="admin list" (docs/operations.md)
	@python -m infra.cli $(ARGS)

backfill: $(VENV)/.local ## billing built anew from Stripe (ARGS="--dry-run" tells what would be)
	@python -m infra.cli backfill $(ARGS)

stripe-setup: $(VENV)/.local ## Stripe's products, prices, portal and webhook from PLANS: make stripe-setup ARGS=--dry-run
	@python -m infra.cli stripe-setup $(ARGS)

deploy: ## to Google Cloud: make deploy PROJECT=my-project REGION=europe-west1 ENVIRONMENT=prod (docs/deployment.md)
	@test -n "$(PROJECT)" && test -n "$(REGION)" && test -n "$(ENVIRONMENT)" \
		|| { echo "where to? make deploy PROJECT=my-project REGION=europe-west1 ENVIRONMENT=prod"; exit 1; }
	gcloud builds submit . --project="$(PROJECT)" --region="$(REGION)" --config=cloudbuild.yaml \
		--ignore-file=.gcloudignore-build --gcs-source-staging-dir="gs://$(PROJECT)-build/source" \
		--service-account="projects/$(PROJECT)/serviceAccounts/build-deploy@$(PROJECT).iam.gserviceaccount.com" \
		--substitutions="_DEPLOY=yes,_ENVIRONMENT=$(ENVIRONMENT),_REGION=$(REGION)"

clean: ## forget the local data (.local)
	@# Where PostgreSQL could not run in place, its data lie elsewhere: see infra/local/postgres.py.
	@test ! -L .local/postgres-home || rm -rf "$$(readlink -f .local/postgres-home)"
	rm -rf .local

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed (PYTHON=… names another)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { rm -rf $(VENV); echo "No venv module: on Debian, apt-get install python3-venv"; exit 1; }

$(VENV)/.local: infra/local/requirements.txt | $(VENV)/bin/python
	@echo "Installing what the local stack needs …"
	@python -m pip install -q --require-hashes -r $<
	@touch $@

$(VENV)/.tests: tests/requirements.txt | $(VENV)/bin/python
	@echo "Installing what the tests need …"
	@python -m pip install -q --require-hashes -r $<
	@touch $@ $(VENV)/.local

build/production/.done: requirements.txt | $(VENV)/.tests
	@echo "Installing what the functions have in production, and nothing else …"
	@uv venv -q --clear --python $(VENV)/bin/python build/production \
		&& uv pip install -q --compile-bytecode --python build/production --require-hashes -r $<
	@touch $@

build/checkov/.done: infra/gcp/tests/requirements.txt | $(VENV)/.tests
	@echo "Installing checkov …"
	@uv venv -q --clear build/checkov && uv pip install -q --python build/checkov --require-hashes -r $<
	@touch $@

$(VENV)/.timing: tests/timing/requirements.txt $(VENV)/.tests
	@python -m pip install -q --require-hashes -r $<
	@touch $@

$(VENV)/.bench: tests/bench/requirements.txt $(VENV)/.tests
	@echo "Installing what the bench's peers need …"
	@python -m pip install -q --require-hashes -r $<
	@touch $@
