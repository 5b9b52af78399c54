# Everything runs in .venv, set up once from requirements.lock. Needs python3.12 (with venv and pip) and git.
PYTHON ?= python3.12
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
TESTS ?= tests
JOBS ?= 2
# uv brings its own certificates; behind a proxy only the system's know the issuer
CERTS := $(or $(SSL_CERT_FILE),$(wildcard /etc/ssl/certs/ca-certificates.crt))
UV := $(if $(CERTS),SSL_CERT_FILE=$(CERTS) )$(BIN)/uv
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check wheel lock clean
.DEFAULT_GOAL := demo

# The main job: one demonstration in, an audited reward and a trained policy out. More settings: make demo ARGS="seed=1"
demo: $(READY)
	$(BIN)/robo-reward train $(ARGS)

test: $(READY)
	OMP_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(TESTS) $(ARGS)

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

# Builds every distribution, installs the wheels in a clean environment and tries them there.
wheel: $(READY)
	$(BIN)/python scripts/try_wheels.py

# No index URLs, no paths: the lock must install from any registry that serves the same files.
lock: $(READY)
	$(UV) pip compile pyproject.toml --quiet --all-extras --group dev --generate-hashes --upgrade \
	  --python-version 3.12 --python-platform x86_64-manylinux_2_28 \
	  --no-header --output-file requirements.lock

# The lock is complete, so nothing else is resolved; pip takes over where uv cannot reach the registry. Both compile
# bytecode: where Python may not write it (PYTHONDONTWRITEBYTECODE), every start would compile torch anew.
$(READY): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	test -x $(BIN)/uv || $(PIP) install uv
	$(UV) pip install --python $(BIN)/python --compile-bytecode --no-deps --require-hashes --requirements requirements.lock || \
	  $(PIP) install --no-deps --require-hashes --requirement requirements.lock
	$(UV) pip install --python $(BIN)/python --no-deps --editable . || $(PIP) install --no-deps --editable .
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
