# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test format clean

demo: .venv/demo.stamp  ## fit a bundled picture; results in demo/
	$(BIN)/siren-fastai fit --image_filepath data/astronaut.png --logging_root . --experiment_name demo --y \
		--evaluate --show_graphics --steps_til_summary 250

test: .venv/test.stamp  ## every lint and test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python -m pytest

format: .venv/test.stamp  ## let ruff rewrite what `make test` would refuse
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/bin/python:
	$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip

# torch comes first and alone: a CPU build, where the index has one, is then kept by all that follows.
.venv/demo.stamp: setup.cfg constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/test.stamp: setup.cfg constraints.txt .venv/demo.stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info
