# The first two commands: `make demo` and `make test`. Each target does all the set-up that it needs.
#   VENV=/path    where the environment lies     PYTHON=python3.12    what it is made from

VENV ?= .venv
RUN = . $(abspath $(VENV))/.nasdet/environment && $(VENV)/bin/python

.PHONY: demo test test-all lint setup clean

demo: setup
	@$(RUN) tools/demo.py

test: setup
	@$(RUN) -m pytest -m 'not slow'

test-all: setup
	@$(RUN) -m pytest

lint: setup
	@$(RUN) -m ruff check .

setup:
	@PYTHON='$(PYTHON)' requirements/setup.sh '$(VENV)'

clean:
	rm -rf build dist nasdet.egg-info .pytest_cache .ruff_cache
	find nasdet tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
