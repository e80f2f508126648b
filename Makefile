# make demo   train one LeNet-5 in NumPy and in PyTorch, in lockstep, on the embedded digits
# make test   run the test suite
# Both create .venv and install what they need first. PYTHON=python3.12 picks another interpreter.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help install demo test slow lint types check gallery bench clean

help:
	@sed -n 's/^# \(make.*\)/\1/p' $(MAKEFILE_LIST)
	@echo "make slow   the tests that take minutes (marked slow)"
	@echo "make check  lint, types and tests: what CI runs"
	@echo "make gallery  all experiments of the lecture, their figures and verdicts into docs/"
	@echo "make bench  the speed beside other libraries, tables and figures into docs/; takes long, on a quiet machine"
	@echo "make clean  remove .venv and caches; runs/ stays"

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Twice needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	@touch $@

# A folder of its own, so that repeating the demo overwrites nothing but the demo. Epochs, schedule and weight decay were
# chosen on the training and validation digits.
demo: $(STAMP)
	$(BIN)/twice train lenet5 --dataset digits --backend both --epochs 20 --schedule cosine --weight-decay 0.001 \
	  --log-every 20 --runs-dir runs/demo --overwrite

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal --cov --cov-fail-under 100 $(ARGS)

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

check: lint types test

gallery: $(STAMP)
	$(BIN)/twice lecture all --publish docs

bench: $(STAMP)
	$(BIN)/twice bench --what all --dtypes float32 float64 --publish docs
	$(BIN)/twice bench --what ideas --profile --publish docs

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage build *.egg-info
