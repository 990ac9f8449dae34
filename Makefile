# The newcomer's two commands are `make demo` and `make test`; each does its own set-up in .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
TORCH  ?=
TORCH_SPEC ?= torch==2.13.0 pytorch-ignite accelerate lightning

# CuPy is chosen by the driver: CUDA 13 needs driver 580 or newer, CUDA 12 needs 525.
DRIVER := $(shell nvidia-smi --query-gpu=driver_version --format=csv,noheader 2>/dev/null | head -n 1 | cut -d. -f1)
CUDA   ?= $(shell if [ "$(DRIVER)" -ge 580 ] 2>/dev/null; then echo 13; elif [ "$(DRIVER)" -ge 525 ] 2>/dev/null; then echo 12; fi)
ifneq ($(CUDA),)
EXTRAS := [cuda$(CUDA),kernels$(CUDA)]
CTK    := cupy-cuda$(CUDA)x[ctk]
endif
STAMP  := $(VENV)/.installed$(CUDA)

.PHONY: help demo test check slow gpu-test gpu-bench clean

help:            ## this list
	@grep -hE '^[a-z-]+: *.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 14

demo: $(STAMP)   ## run demo.ipynb, print its layer table and verdict, write build/demo.html
	$(BIN)/python examples/run_demo.py

test: $(STAMP)   ## the test suite on this machine (TORCH=1: with PyTorch as an oracle, and loops of Ignite, Accelerate, Lightning)
ifneq ($(TORCH),)
	@$(BIN)/python -c "import torch, ignite, accelerate, lightning" 2>/dev/null || $(BIN)/python -m pip install -q $(TORCH_SPEC)
endif
	$(BIN)/python -m pytest -m "not slow"
	@$(BIN)/python -c "import torch" 2>/dev/null || echo "Left out: the comparisons with PyTorch. 'make test TORCH=1' installs it and runs them."

check: $(STAMP)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/mypy

slow: $(STAMP)   ## the tests that take long: the wheel in a clean environment, training on more data
	$(BIN)/python -m pytest -m slow

# These two install nothing: PY names an interpreter that has CuPy, pytest and the dependencies.
PY ?= $(BIN)/python

gpu-test:        ## the whole suite on the GPU of this machine (PY=python3: with that interpreter)
	GPUPROF_TEST_GPU=1 $(PY) -m pytest -m "not slow"

gpu-bench:       ## measure on the GPU of this machine, write benchmarks/results/*.json
	$(PY) -m benchmarks

clean:           ## remove what make made
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "gpuprof needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"
	$(BIN)/python -m pip install -q -e ".$(EXTRAS)" $(CTK) --group dev
	@touch $@
