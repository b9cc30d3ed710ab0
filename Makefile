# `make serve` and `make test` do all the set-up on a fresh machine.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
PORT ?= 8000
HOST ?= 127.0.0.1
BIN := .venv/bin
TESTS ?= tests
TEST_PROCESSES ?= 3
NEWEST_PYTHON ?= python3.12
NEWEST := django==6.1.3 hypercorn==0.18.0 uvicorn==0.54.0 websockets==17.4

.PHONY: help serve test test-real test-pages test-newest test-clients check compose-check bench reference screenshots soak fuzz format lint types layers django-checks migrations-check coverage clean

help: ## This list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

.venv/.serve: requirements.txt
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "Installing what the server needs (once; torch is large)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.dev: requirements.txt requirements-dev.txt
	@test -d .venv || $(PYTHON) -m venv .venv
	@echo "Installing what the tests need (once; torch is large)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.serve

.venv-bench/.done: requirements.txt requirements-dev.txt requirements-bench.txt
	@test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	@echo '*' > .venv-bench/.gitignore
	@echo "Installing the servers to compare with (once; torch is large)"
	@.venv-bench/bin/pip install --quiet --disable-pip-version-check -r requirements-bench.txt
	@touch $@

.venv-newest/.done: pyproject.toml requirements.txt
	$(NEWEST_PYTHON) -m venv --clear .venv-newest
	@echo '*' > .venv-newest/.gitignore
	@.venv-newest/bin/pip install --quiet --disable-pip-version-check $(NEWEST) ".[daphne,redis]"
	@.venv-newest/bin/pip uninstall --quiet --yes django-inference-server  # the tests install the wheel
	@touch $@

.venv-clients/.done: requirements-clients.txt tests/clients/package.json
	@test -d .venv-clients || $(PYTHON) -m venv .venv-clients
	@echo '*' > .venv-clients/.gitignore
	@echo "Installing clients (once)"
	@.venv-clients/bin/pip install --quiet --disable-pip-version-check -r requirements-clients.txt
	@command -v npm >/dev/null || { apt-get update -qq && apt-get install -qq --yes npm >/dev/null; }
	@npm install --silent --no-audit --no-fund --prefix tests/clients
	@touch $@

# What tests compare with: an older transformers, on the torch of .venv.
.venv-reference/.done: requirements-reference.txt | .venv/.dev
	@$(BIN)/python -m venv --clear .venv-reference
	@echo '*' > .venv-reference/.gitignore
	@folder="import sysconfig; print(sysconfig.get_path('purelib'))"; \
		$(BIN)/python -c "$$folder" > "$$(.venv-reference/bin/python -c "$$folder")/torch-of-the-tests.pth"
	@echo "Installing the libraries to compare with (once)"
	@.venv-reference/bin/pip install --quiet --disable-pip-version-check -r requirements-reference.txt
	@touch $@

.env:
	@umask 077; $(PYTHON) -c "import secrets; print('DJANGO_SECRET_KEY=' + secrets.token_urlsafe(50))" > .env
	@echo "Wrote a secret key to .env"

serve: .venv/.serve .env ## The server with the bundled model on PORT (8000)
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py create_first_admin
	@echo "Model   http://$(HOST):$(PORT)/      curl -X POST -d \"test [MASK]\" http://localhost:$(PORT)/"
	@echo "Admin   http://$(HOST):$(PORT)/admin/"
	@echo "Health  http://$(HOST):$(PORT)/health/ready"
	@exec $(BIN)/daphne -b $(HOST) -p $(PORT) inferencesite.asgi:application

# Each process reads all tests. Where bytecode is not written, each compiles them anew: 10 seconds of a core.
test: .venv/.dev .env ## The whole suite (TESTS=tests/test_x.py for a part, TEST_PROCESSES=4 on more cores)
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder $(TESTS)

test-newest: .venv/.dev .env .venv-newest/.done ## Projects around ours on the newest Django (NEWEST_PYTHON=python3.13)
	HOST_PYTHON=$(CURDIR)/.venv-newest/bin/python $(BIN)/python -m pytest tests/host

test-real: .venv/.dev .env ## Four real models, which it makes once: 510 MB, outside of the repository
	@command -v espeak-ng >/dev/null || { echo "Installing espeak-ng, which speaks"; \
		apt-get update -qq && apt-get install -qq --yes espeak-ng >/dev/null; }
	@$(BIN)/python -m tests.real.models
	$(BIN)/python -m pytest tests/real

test-pages: .venv/.dev .env ## The playground in Chromium, 2 minutes (the suite has its first answer and the other pages)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -qq --yes chromium >/dev/null; }
	$(BIN)/python -m pytest -n 2 --dist loadfile tests/playground

test-clients: .venv/.dev .env .venv-clients/.done ## Clients of all dialects, 5 minutes (CLIENTS="chats.py rerank.py" for a part)
	@$(BIN)/python -m tests.clients $(CLIENTS)

check: .venv/.dev .env format lint types layers django-checks migrations-check test ## Everything that CI checks

format: .venv/.dev
	$(BIN)/ruff format --check .
lint: .venv/.dev
	$(BIN)/ruff check .
types: .venv/.dev .env
	$(BIN)/mypy
layers: .venv/.dev
	$(BIN)/lint-imports --no-cache
django-checks: .venv/.dev .env
	$(BIN)/python manage.py check
migrations-check: .venv/.dev .env
	$(BIN)/python manage.py makemigrations --check --dry-run

coverage: .venv/.dev .env ## The suite under coverage, server processes included
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(TESTS)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: .venv/.dev .venv-bench/.done .env ## Side by side with other servers, 25 minutes (BENCH="--help" for parts)
	@$(BIN)/python -m tests.benchmarks $(BENCH)

compose-check: .venv/.dev .env ## docker-compose.yml on a real engine, 6 minutes for each Compose (needs docker.io, docker-compose, debootstrap)
	@$(BIN)/python -m tests.compose

reference: .venv/.dev .venv-reference/.done ## Records anew what other libraries answer, for tests (REFERENCE=translation for a part)
	@$(BIN)/python -m tests.reference $(REFERENCE)

screenshots: .venv/.dev .env ## Pages in real states, into screenshots/ and docs/screenshots/ (SCREENSHOTS="front log" for a part)
	@$(BIN)/python -m tests.screenshots $(SCREENSHOTS)

soak: .venv/.dev .env ## Chaos run: kills, faults and restarts under load, 15 minutes (SOAK="--help" for parts)
	@$(BIN)/python -m tests.soak $(SOAK)

fuzz: .venv/.dev .env ## 2,000 odd bodies for each task, with a tiny model of each (FUZZ="--help" for parts)
	@$(BIN)/python -m tests.soak.fuzz_tasks $(FUZZ)

clean: ## Remove the virtual environment and caches; data and .env stay
	rm -rf .venv .venv-bench .venv-clients .venv-newest .venv-reference .bench-cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
