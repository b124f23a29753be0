# Everything a clone needs: make and Python 3.12 or later. Only `setup`, `lock` and npm use the network.

.DEFAULT_GOAL := help
.PHONY: help setup run test test-browser test-conformance test-foreign test-crash test-crowd test-services test-slow \
	test-faults test-mutants bench check lint types imports sdl-check documents-check format sdl lint-deploy lock clean

# Where it is set, each of the suites' many processes compiles and rewrites every file for itself.
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
SETUP := .venv/setup.stamp
NODE_MODULES := tests/foreign/node_modules/setup.stamp
CHROMIUM ?= $(shell command -v chromium chromium-browser google-chrome | head -n 1)
HAPROXY ?= $(shell PATH="$$PATH:/usr/sbin" command -v haproxy)
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile

setup: $(SETUP) ## Build .venv from the locked requirements, once per lock

# A pyenv shim answers only for the version it is told; elsewhere PYENV_VERSION changes nothing.
$(SETUP): requirements/development.txt
	@for version in 3.13 3.12 ''; do \
	    python=$$(PYENV_VERSION=$$version python$${version:-3} -c \
	        'import sys; print(sys.executable if sys.version_info >= (3, 12) else "")' 2>/dev/null); \
	    [ -z "$$python" ] || break; \
	done; \
	if [ -z "$$python" ]; then \
	    echo 'Drawbridge needs Python 3.12 or later: install it as python3.12, python3.13 or python3.' >&2; \
	    exit 1; \
	fi; \
	echo "Building .venv with $$python: half a minute"; \
	[ -x $(BIN)/python ] || "$$python" -m venv .venv
	@$(PIP_INSTALL) --require-hashes -r requirements/development.txt
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

run: setup ## Start the gateway; ARGS="--port 8123 --data DIR" passes options on
	@$(BIN)/drawbridge serve $(ARGS)

# A file stays with one process, which makes what its tests share once; the last files are short ones.
test: setup ## Run the fast tests on every core; ARGS passes options to pytest
	$(BIN)/pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: setup ## Start gateways and brokers again and again
	$(BIN)/pytest -m slow $(ARGS)

test-services: setup ## Test against PostgreSQL, RabbitMQ and Redis, where they are found
	$(BIN)/pytest -m "services and not faults" $(ARGS)

test-crash: setup ## Kill gateways in the middle of their work
	$(BIN)/pytest -m crash $(ARGS)

test-crowd: setup ## Open hundreds of sockets at once
	$(BIN)/pytest -m crowd $(ARGS)

test-faults: setup ## Kill gateways and servers that it starts itself; needs PostgreSQL, RabbitMQ and Redis
	$(BIN)/pytest -m faults $(ARGS)

test-mutants: setup ## Drop each check of who may do what, and see a test fail
	$(BIN)/pytest -m mutants --numprocesses auto $(ARGS)

test-foreign: setup $(NODE_MODULES) ## Meet clients, audits and made-up operations of others; needs Node.js 20
	$(BIN)/pytest -m foreign $(ARGS)

test-conformance: setup ## Put every adapter through the kit; ARGS="--broker NAME" takes one, --table reports
	$(BIN)/pytest tests/conformance/brokers -m conformance --numprocesses auto $(ARGS)

test-browser: setup ## Drive GraphiQL in a real Chromium; CHROMIUM=PATH says where it is
	@[ -n "$(CHROMIUM)" ] || { echo 'No Chromium found: install one, or give CHROMIUM=PATH.' >&2; exit 1; }
	CHROMIUM="$(CHROMIUM)" $(BIN)/pytest -m browser $(ARGS)

$(NODE_MODULES): tests/foreign/package-lock.json
	cd tests/foreign && npm ci --no-audit --no-fund
	@touch $@

bench: setup ## Measure side by side, and write docs/benchmarks.md; needs the services
	@$(BIN)/python -m bench $(ARGS)

check: lint types imports sdl-check documents-check test ## Everything that a commit must pass

lint: setup ## Check the format and lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: setup ## Check types, strictly
	$(BIN)/mypy

imports: setup ## Check that the layers hold
	$(BIN)/lint-imports

sdl-check: setup ## Check that schema/schema.graphql is what the code says
	@$(BIN)/drawbridge sdl | diff -u schema/schema.graphql - || \
	    { echo 'schema/schema.graphql is out of date: run make sdl and review the difference.' >&2; exit 1; }

documents-check: setup ## Check that the documents promised in schema/documents.json fit the schema
	@$(BIN)/drawbridge documents check schema/documents.json

format: setup ## Format, and mend what the linter can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

sdl: setup ## Write schema/schema.graphql from the code
	$(BIN)/drawbridge sdl > schema/schema.graphql.new
	mv schema/schema.graphql.new schema/schema.graphql

lint-deploy: setup ## Lint the image, Compose, proxy and shell files; HAPROXY=PATH says where HAProxy is
	@[ -n "$(HAPROXY)" ] || { echo 'No HAProxy found: install one, or give HAPROXY=PATH.' >&2; exit 1; }
	$(BIN)/hadolint deploy/Dockerfile
	$(BIN)/yamllint --strict docker-compose.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(HAPROXY) -c -q -f deploy/haproxy.cfg
	$(BIN)/shellcheck .ci/run

# One universal lock serves every Python and platform, and names no address. The smaller locks follow
# the development one, so that what is tested is what ships.
COMPILE := UV_PYTHON_DOWNLOADS=never $(BIN)/uv pip compile --quiet --universal --python-version 3.12 \
	--generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links

lock: setup ## Write the hash-locked requirements; UPGRADE=--upgrade takes newer versions
	$(COMPILE) $(UPGRADE) pyproject.toml --group development -o requirements/development.txt
	$(COMPILE) -c requirements/development.txt pyproject.toml -o requirements/runtime.txt
	$(COMPILE) -c requirements/development.txt --group build -o requirements/build.txt

clean: ## Remove what set-up and checks made
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis dist \
	    artefacts tests/foreign/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
