# The first two commands: `make demo` and `make test`. Each target does all the set-up that it needs.
#   VENV=/path    where the environment lies     PYTHON=python3.12    what it is made from

VENV ?= .venv
# One test process a core; a file's tests share their trained networks, so they stay together.
TWO_CORES = -n 2 --dist loadfile
TWO_CORES_ANY = -n 2
RUN = . $(abspath $(VENV))/.nasdet/environment && $(VENV)/bin/python

.PHONY: demo test test-configs test-all lint setup clean

demo: setup
	@$(RUN) tools/demo.py

test: setup
	@$(RUN) -m pytest $(TWO_CORES) -m 'not slow'

# The searches that `make test` leaves out: all, or of the configs those in the folders METHODS='darts enas'.
space := $(subst ,, )
OF_METHODS = $(if $(METHODS),-k 'not stock_tools or $(subst $(space),/ or ,$(strip $(METHODS)))/')
test-configs: setup
	@$(RUN) -m pytest $(TWO_CORES_ANY) -m slow $(OF_METHODS) tests/end_to_end

test-all: setup
	@$(RUN) -m pytest $(TWO_CORES)

lint: setup
	@$(RUN) -m ruff check .

setup:
	@PYTHON='$(PYTHON)' requirements/setup.sh '$(VENV)'

clean:
	rm -rf build dist nasdet.egg-info .pytest_cache .ruff_cache
	find nasdet tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +
