# `make demo` and `make test` do their own set-up in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# What is compiled once per machine stays in the checkout.
export HWGEN_CACHE ?= $(CURDIR)/build/cache

.PHONY: demo test lint bench doctor clean distclean

demo: $(VENV)/.hwgen
	$(BIN)/hwgen doctor --install
	$(BIN)/hwgen build models/digits_mlp/model.yaml

test: $(VENV)/.hwgen-dev
	@$(BIN)/hwgen doctor --install
	$(BIN)/ruff check hwgen tests sim benchmarks
	$(BIN)/ruff format --check --quiet hwgen tests sim benchmarks
	$(BIN)/mypy
	HWGEN_NO_SKIPS=1 $(BIN)/python -m pytest -q

lint: $(VENV)/.hwgen-dev
	$(BIN)/ruff check hwgen tests sim benchmarks
	$(BIN)/ruff format --check hwgen tests sim benchmarks
	$(BIN)/mypy

# Side by side with hls4ml, alkaid and XLS on the same weights, in one run.
bench: $(VENV)/.hwgen-bench
	@$(BIN)/hwgen doctor --install
	$(BIN)/python -m benchmarks

doctor: $(VENV)/.hwgen
	$(BIN)/hwgen doctor --install

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.hwgen: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.hwgen-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install -c constraints.txt -e ".[dev]"
	@touch $@ $(VENV)/.hwgen

$(VENV)/.hwgen-bench: $(VENV)/.hwgen
	$(PIP) install -c constraints.txt -e ".[bench]"
	@touch $@

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find hls_projects -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV)
