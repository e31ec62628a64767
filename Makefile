# `make demo` and `make test` are complete on a fresh machine with Python >= 3.11: they set up .venv first.
.DEFAULT_GOAL := help
.PHONY: help demo test lint serve mlflow bench catalogue lock venv
SHELL := /bin/sh

BIN := .venv/bin
STAMP := .venv/.installed
OUT ?= out
# PYTHON=/path/to/python overrides the search, as in `make test PYTHON=python3.12`.
CANDIDATES := $(or $(PYTHON),python3.13 python3.12 python3.11 python3)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# Shell: sets $$python to the first candidate that runs, is recent enough and can make environments.
define find_python
python=; for name in $(1); do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python="$$name"; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "No Python >= 3.11 among: $(1). Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; fi; \
if ! "$$python" -c 'import ensurepip' 2>/dev/null; then \
	echo "$$python cannot make environments: its venv module is missing (on Debian: apt-get install python3-venv)" >&2; \
	exit 1; fi
endef

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## a made-up retailer, from its tables to fresh scores over HTTP and the weekly list, into out/
	$(BIN)/patron demo --out $(OUT)

test: $(STAMP) ## run every test but the slow ones
	$(BIN)/pytest -n 2 -m "not slow"

lint: $(STAMP) ## check format, style, types, the arrows between rooms, and spelling
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

serve: $(STAMP) ## serve scores and decisions from the demo's store (or PATRON_STORE) on port 3000 (or PATRON_PORT)
	@PATRON_STORE="$${PATRON_STORE:-sqlite:///$(OUT)/store.db}" PATRON_API_KEYS="$${PATRON_API_KEYS:-crm:demo-secret}" \
	exec $(BIN)/patron serve

mlflow: $(STAMP) ## look at runs and registered models in MLflow
	@uri="$${MLFLOW_TRACKING_URI:-sqlite:///$(OUT)/mlflow.db}"; \
	case "$$uri" in \
	http*) echo "MLFLOW_TRACKING_URI is a server already: open $$uri"; exit 0 ;; \
	sqlite:///*) mkdir -p "$$(dirname "$${uri#sqlite:///}")" ;; \
	esac; \
	echo "MLflow shows $$uri"; \
	exec $(BIN)/mlflow ui --backend-store-uri "$$uri"

bench: $(STAMP) ## measure the feature engine and the service against their peers
	$(BIN)/python experiments/feature_engine/run.py
	$(BIN)/python experiments/service/run.py

# After a change of a feature group: the page that people read.
catalogue: $(STAMP)
	$(BIN)/python -m features.page

# The oldest supported Python makes the lock: what installs there installs on newer ones.
lock: ## write requirements.lock anew with today's releases (needs Python 3.11)
	@$(call find_python,$(or $(PYTHON),python3.11)); \
	"$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
		{ echo "$$python is not Python 3.11, which makes the lock: make lock PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	echo "Resolving in $$work (a few minutes) ..."; \
	"$$python" -m venv "$$work/venv" && \
	"$$work/venv/bin/pip" install -qq --upgrade pip && \
	"$$work/venv/bin/pip" install -qq --editable . --group dev && \
	{ echo "# Made by \`make lock\`; do not edit. Everything needed for running and developing, as tested."; \
	  "$$work/venv/bin/pip" freeze -qq --exclude-editable --exclude pip --exclude setuptools; } > "$$work/lock" && \
	cp "$$work/lock" requirements.lock && \
	echo "requirements.lock holds $$(grep -c == requirements.lock) pins"

venv: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(call find_python,$(CANDIDATES)); \
	if [ -x $(BIN)/python ]; then echo "Bringing .venv up to date ..."; \
	else echo "Making .venv with $$("$$python" --version) ..."; "$$python" -m venv .venv || exit 1; fi; \
	echo "Installing $$(grep -c == requirements.lock) packages from requirements.lock (minutes the first time) ..."; \
	$(BIN)/python -m pip install -qq --upgrade pip && \
	$(BIN)/python -m pip install -qq --requirement requirements.lock && \
	$(BIN)/python -m pip install -qq --no-deps --editable . && \
	touch $(STAMP)
