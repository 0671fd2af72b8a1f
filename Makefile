# Two commands for a fresh machine with Python 3.11 or later: `make demo` and `make test`.
# Both install what they need into .venv, and nothing anywhere else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PEERS ?= .venv-peers

# The tests that need no terminal, browser, keyring or other shell, and start few processes.
QUICK := tests/check tests/gate tests/replicate tests/test_imports.py \
	$(addprefix tests/repl/test_,$(addsuffix .py,budget_words history incomplete lexer render sixel)) \
	$(addprefix --ignore=tests/gate/test_,$(addsuffix .py,ledger matrix ways))

# The tests that compare generated files with the output of their generators.
GENERATED := tests/cli/test_types.py::test_the_committed_stubs_are_current \
	tests/cli/test_reference_commands.py::test_the_committed_reference_is_current

.PHONY: demo test quick check bench clean

demo: $(VENV)/.installed
	mkdir -p demo
	$(BIN)/kosmo lua --emulate --allow-write demo --report demo/run.html examples/demo.lua "a fox in the snow"
	@echo
	@echo "Open demo/picture.png, the picture, and demo/run.html, the page of the run."
	@echo "Put kosmo on your PATH: . $(BIN)/activate"

test: $(VENV)/.developing
	$(BIN)/python -m pytest -n 4 --dist loadfile

quick: $(VENV)/.testing
	$(BIN)/python -m pytest -n 2 --dist loadfile $(QUICK)

check: $(VENV)/.developing
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python -m pytest --quiet $(GENERATED)

# Also measures the official Python client and, if npm is installed, the JavaScript client in Deno and Bun.
bench: $(VENV)/.developing $(PEERS)/.installed
	$(BIN)/python tests/bench/run.py --peers $(PEERS)
	$(BIN)/python tests/bench/transfers.py
	$(BIN)/python tests/bench/growth.py

clean:
	rm -rf demo $(VENV) .venv-* build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[emulator]'
	touch $@

$(VENV)/.testing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --group test
	touch $@

$(PEERS)/.installed:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet replicate==1.0.7
	-npm install --silent --no-audit --no-fund --prefix $(PEERS) replicate@1.4.0 deno@2 bun@1
	touch $@

$(VENV)/.developing: $(VENV)/.testing
	$(BIN)/python -m pip install --quiet --group dev
	touch $@
