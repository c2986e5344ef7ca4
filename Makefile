# `make demo` shows what emo does, `make test` proves it, `make check` reads it (under a minute). All need Python >= 3.11 and make.
PYTHON ?= python3
VENV   ?= .venv
# CPU-only machines: `make test TORCH='torch==2.13.0'` (or any build you prefer) keeps CUDA away.
TORCH  ?= torch>=2.2
BIN    := $(VENV)/bin
# What codespell reads: runs, sets and models of whoever works here lie beside it.
TEXTS  := converters cfg darknet_runner emotion scripts tests docs notebooks .ci .github Makefile setup.cfg pyproject.toml $(wildcard *.md)

.PHONY: demo test check tools format docs clean

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# One stamp a set of extras, renewed when setup.cfg changes.
$(VENV)/.base: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install -q --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: $(VENV)/.base
	$(BIN)/pip install -q --disable-pip-version-check '$(TORCH)'
	$(BIN)/pip install -q --disable-pip-version-check -e '.[train,test]'
	@touch $@

$(VENV)/.check: $(VENV)/.base
	$(BIN)/pip install -q --disable-pip-version-check -e '.[check]'
	@touch $@

demo: $(VENV)/.base
	$(BIN)/python scripts/demo.py demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

tools: $(VENV)/.check

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell $(TEXTS)
	$(BIN)/mypy

format: $(VENV)/.check
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.base
	$(BIN)/pip install -q --disable-pip-version-check -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean:
	rm -rf demo site build *.egg-info $(VENV)
