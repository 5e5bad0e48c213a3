# python3 (3.11 to 3.13) and make are all this needs. uv is used when it is installed, else pip.
PYTHON ?= python3
VENV := .venv
PY = $(VENV)/bin/python
ARGS ?=
# As many tests at a time as there are cores; ARGS=-n0 runs them one by one, in one process. Where the environment
# forbids Python to keep bytecode, every process of a test would compile all that it imports.
PYTEST = PYTHONDONTWRITEBYTECODE= $(PY) -m pytest --numprocesses auto --dist worksteal

.PHONY: help setup demo test test-sam3 quick check clean
help:
	@echo "make demo    set up, generate footage, build a dataset from it, score the tracks"
	@echo "make test    set up what the tests need, then lint, type-check and run them all"
	@echo "make test-sam3  set up torch and SAM3 (6 GB) beside it, and run the tests of the SAM3 trackers"
	@echo "make quick   the tests that take no more than a few seconds each"
	@echo "make setup   set up only:  make setup EXTRAS=decord,hf"
	@echo "make run     python main.py:  make run ARGS='videos=/data/barn prompt=cow tracker=motion out=/data/cows'"

EXTRAS ?=
comma := ,
# The official sam3 package wants older numpy and huggingface_hub than everything else.
CONSTRAINTS := $(if $(filter sam3,$(subst $(comma), ,$(EXTRAS))),constraints-sam3.txt,constraints.txt)
setup: $(VENV)/.setup-$(EXTRAS)

$(VENV)/.setup-$(EXTRAS): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 14) else f"Python 3.11 to 3.13 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...")'
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "setting up $(VENV)$(if $(EXTRAS), with $(EXTRAS)): a minute, some more with torch"
	@if command -v uv >/dev/null 2>&1; \
	then uv pip install --quiet --python $(PY) --constraint $(CONSTRAINTS) --editable ".$(if $(EXTRAS),[$(EXTRAS)])"; \
	else $(PY) -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS) --editable ".$(if $(EXTRAS),[$(EXTRAS)])"; \
	fi
	@touch $@

run: setup
	@$(PY) main.py $(ARGS)

demo: setup
	@$(PY) main.py experiment=demo $(ARGS)

test: check
	@$(PYTEST) $(ARGS)

# The SAM3 trackers on their real architecture, in an environment of their own: about 6 GB.
test-sam3: VENV := .venv-sam3
test-sam3: dev-sam3
	@FAIL_WITHOUT_SAM3=1 OMP_NUM_THREADS=1 $(PYTEST) tests/sam3 $(ARGS)

quick: dev
	@$(PYTEST) -m "not slow" $(ARGS)

check: dev
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy

.PHONY: dev dev-sam3 run
dev:
	@$(MAKE) --no-print-directory setup EXTRAS=dev,buckets

dev-sam3:
	@$(MAKE) --no-print-directory setup VENV=.venv-sam3 EXTRAS=dev,embed,sam3,sam3-hf

clean:
	rm -rf .venv .venv-sam3 demo build *.egg-info
