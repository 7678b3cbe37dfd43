# Everything runs in .venv, which the first target builds; a fresh machine needs Python >= 3.11 only.
# `make check test` is what CI runs.

PYTHON ?= python3
# An extra package index for torch alone: on Linux the usual one brings gigabytes of CUDA, which a
# machine without a GPU does not need. PyTorch's installation page names its index of CPU builds.
TORCH_INDEX ?=
BIN := .venv/bin
# One thread a test: the figures that tests assert must not depend on who else uses the machine.
TEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1 NUMEXPR_NUM_THREADS=1 $(BIN)/pytest
WORKERS ?= 2
# Each worker takes neighbours, which share fixtures, and at the end some of the other's.
PARALLEL := -n $(WORKERS) --dist worksteal

.PHONY: train test test-slow test-long check format schema tensorboard clean

train: .venv/installed
	$(BIN)/python -m mtf.train configs/dsc_mtf.yaml

test: .venv/installed
	$(TEST) $(PARALLEL) -m "not slow and not long"

test-slow: .venv/installed
	$(TEST) $(PARALLEL) -m "slow and not alone"
	$(TEST) -m "slow and alone"

test-long: .venv/installed
	$(TEST) -m long

check: .venv/installed build/types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml mtf ../../tests ../../examples

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What editors complete by; a test fails when it is out of date.
schema: .venv/installed
	mkdir -p build && $(BIN)/python -m mtf.schema > build/schema.json && mv build/schema.json configs/schema.json

tensorboard: .venv/installed
	$(BIN)/tensorboard --logdir runs

clean:
	rm -rf .venv build dist *.egg-info

# torch first and by itself, so that only it is looked up in the extra index.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --no-deps -c constraints.txt \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[dev]"
	touch $@

# A type checker does not see that encoders/ is installed as mtf.encoders (package-dir in
# pyproject.toml): a folder of links shows it the package as it is installed.
build/types: .venv/installed
	rm -rf $@ && mkdir -p $@/mtf
	ln -s $(wildcard $(CURDIR)/mtf/*) $@/mtf/
	ln -s $(addprefix $(CURDIR)/,benchmarks configs data_sources encoders heads) $@/mtf/
.PHONY: build/types
