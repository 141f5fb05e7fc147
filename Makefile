# make demo   adapts the shipped student to short videos on the CPU and prints the scores
# make test   runs the tests
# make lint   runs ruff and mypy
# make docs   makes the pages of docs/ a site, in site/
#
# Each target makes its own environment in .venv (Python 3.11 or newer) and remakes it when
# pyproject.toml or constraints.txt change. Override with: make demo PYTHON=python3.12

PYTHON ?= python3
TORCH ?= torch==2.13.0
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Two workers: the suite is bound by compilation, and each worker needs about one core.
TEST_WORKERS ?= 2
TEST_ARGS ?=
# Compilers for accelerators that are not here: none, tpu (213 MB to download) or all (436 MB, 1.3 GB
# on disk); without them their tests are skipped. CI has all. They lie in a folder of their own, which
# only those tests look into: beside JAX, a plugin without its device complains at every start.
COMPILERS ?= none
COMPILERS_none :=
COMPILERS_tpu := libtpu
COMPILERS_all := libtpu jax-cuda12-plugin jax-cuda12-pjrt nvidia-cuda-nvcc-cu12

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

demo: $(VENV)/.stamp-demo
	$(BIN)/python -m ditta_jax.adapt --config configs/demo.py

test: $(VENV)/.stamp-dev $(VENV)/compilers/.stamp-$(COMPILERS)
	DITTA_COMPILERS=$(CURDIR)/$(VENV)/compilers $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist worksteal $(TEST_ARGS)

lint: $(VENV)/.stamp-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.stamp-dev
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) runs site .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "error: $(PYTHON) is older than Python 3.11; try make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# SAM 2 last and without its dependencies: they would bring torchvision, which the video predictor
# does not use, and whose build on the package index does not load beside a CPU build of torch.
$(VENV)/.stamp-demo: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing the student's and the teacher's packages (a few minutes, once) ..."
	$(PIP) setuptools wheel "$(TORCH)"
	$(PIP) --no-build-isolation --editable '.[teacher-without-torchvision]'
	$(PIP) --no-deps rf-sam-2
	@touch $@

$(VENV)/.stamp-dev: $(VENV)/.stamp-demo
	$(PIP) --no-build-isolation --editable '.[teacher-without-torchvision,dev]'
	@touch $@

$(VENV)/compilers/.stamp-$(COMPILERS): constraints.txt | $(BIN)/python
	mkdir -p $(@D)
	$(if $(COMPILERS_$(COMPILERS)),$(PIP) --no-deps --upgrade --target $(@D) $(COMPILERS_$(COMPILERS)))
	@touch $@
