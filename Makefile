PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench bench-quick install clean

demo: install
	$(BIN)/flukeprint demo

test: install .venv/generator
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Measures and writes benchmarks/reports/speed.md, about 40 minutes; bench-quick takes 4 and writes
# benchmarks/results/speed-quick.md instead.
bench: .venv/peers
	$(BIN)/python -m benchmarks.speed.run_all

bench-quick: .venv/peers
	$(BIN)/python -m benchmarks.speed.run_all --quick

# What is compared with.  open-metric-learning asks for an older numpy than it needs.
.venv/peers: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .peers --upgrade open-metric-learning==4.0.0 \
		validators==0.35.0 gdown==5.2.0 omegaconf==2.3.0 antlr4-python3-runtime==4.9.3 beautifulsoup4
	touch $@

# Generates a client from the API's schema, for its test; it asks for an older typer than ours.
.venv/generator: .venv/installed
	rm -rf $@
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $@ openapi-python-client==0.29.1

install: .venv/installed

# Made again when what is to be installed changes.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "flukeprint needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv build .pytest_cache .ruff_cache .mypy_cache .hypothesis
