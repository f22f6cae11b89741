# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

# Kernels as older and other processors have them: their sums differ in the last bits, and no test may depend on those.
OTHER_KERNELS := MKL_CBWR=COMPATIBLE ATEN_CPU_CAPABILITY=default

# A process per core, each with one thread: most tests are too small to use more.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

.PHONY: demo test docs format clean

demo: .venv/demo.stamp  ## fit a bundled picture; results in demo/
	$(BIN)/siren-fastai fit --image_filepath data/astronaut.png --logging_root . --experiment_name demo --y \
		--evaluate --show_graphics --steps_til_summary 250

test: .venv/test.stamp docs  ## every lint, the documentation and every test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST)
	$(OTHER_KERNELS) $(PYTEST) -q -m numerics

# A warning is an error, and the pages may load nothing from elsewhere: they are read offline too.
docs: .venv/docs.stamp  ## the documentation in build/html/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -c docs -d build/doctrees -b html . build/html
	@! grep -rnE '<(script|link|img|iframe)[^>]* (src|href)="(https?:)?//' build/html --include='*.html'

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

.venv/docs.stamp: setup.cfg constraints.txt .venv/demo.stamp
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv demo build docs/reference *.egg-info
