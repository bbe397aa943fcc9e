# `make demo` and `make test` set everything up on a fresh machine; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
KERNEL := $(wildcard stream/segstream/core/*.py)
FEED := .data/complete-journey.jsonl
PRODUCTS := .data/complete-journey-products.csv
# Processes of `make test`, each with a Kafka of its own (about 1 GB). The live tests mostly wait.
JOBS ?= 2

.PHONY: help demo test check format quality reproduction bench stack-test chaos clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "segstream: expected Python 3.11 or newer, got $$($(PYTHON) -V); set PYTHON=python3.x"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "segstream: expected the venv module; on Debian: apt-get install python3-venv"; exit 1; }
	@touch $@

$(VENV)/demo: $(VENV)/python pyproject.toml constraints.txt
	@echo "installing segstream and its demo data ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo,explore]'
	@touch $@

$(VENV)/dev: $(VENV)/demo
	@echo "installing the development tools ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e '.[demo,kafka,serve,explore]'
	@$(BIN)/python deploy/dev_requirements.py > $(VENV)/dev.txt
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -r $(VENV)/dev.txt
	@touch $@

# Numba's cache looks at the file of a function, not at the files it calls into.
$(VENV)/kernel: $(KERNEL) | $(VENV)/python
	@find stream -name '*.nb[ic]' -delete
	@touch $@

$(FEED): $(VENV)/demo
	@$(BIN)/segstream-producers write complete-journey $@

$(PRODUCTS): $(VENV)/demo
	@$(BIN)/segstream-producers write complete-journey-products $@

demo: $(VENV)/demo $(VENV)/kernel $(FEED) $(PRODUCTS) ## stream a year of real grocery baskets; look at out/report.html
	@rm -rf .data/demo-state out
	@$(BIN)/segstream run --source $(FEED) --mapping complete-journey --config deploy/demo.toml \
	  --products $(PRODUCTS) --state .data/demo-state --out out --customer-word household
	@echo "look around in a browser:  $(BIN)/segstream explore --state .data/demo-state --out out"

check: $(VENV)/dev $(VENV)/kernel ## format, lint, types, fast tests: under a minute, offline
	@$(BIN)/ruff format --check -q . || { echo "run: make format"; exit 1; }
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@SEGSTREAM_HYPOTHESIS=quick $(BIN)/pytest -q -n $(JOBS) -m 'not slow'

format: $(VENV)/dev ## format and sort imports
	@$(BIN)/ruff check -q --fix --exit-zero .
	@$(BIN)/ruff format -q .

test: ## everything, from nothing
	@deploy/need.sh
	@$(MAKE) --no-print-directory $(VENV)/dev $(VENV)/kernel $(FEED)
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.warm
	@$(BIN)/pytest -q -n $(JOBS) --dist worksteal

quality: $(VENV)/dev $(VENV)/kernel $(FEED) ## segments against a batch K-Means, stability, what followed
	@$(BIN)/python -m benchmarks.quality

reproduction: $(VENV)/dev $(VENV)/kernel ## five published studies: as published, recomputed, corrected
	@$(BIN)/python -m benchmarks.reproduction

bench: $(VENV)/dev $(VENV)/kernel $(FEED) ## speed and size; writes benchmarks/results/
	@$(BIN)/python -m benchmarks.bench

stack-test: $(VENV)/dev $(VENV)/kernel ## docker-compose.yml's roles without Docker: fed, hurt, asked
	@deploy/need.sh
	@$(BIN)/python -m tests.stack

chaos: $(VENV)/dev $(VENV)/kernel ## kill everything at random under load, then compare; needs Redis, Java, Maven
	@$(BIN)/python -m benchmarks.chaos --kills 100 --seed 1

clean: ## remove what the other targets made
	@rm -rf $(VENV) .data out state .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -prune -exec rm -rf {} +
