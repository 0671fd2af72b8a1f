"""Runs the Lua specs of ``lua/`` in the Lua engines of lupa."""

from pathlib import Path

import pytest

from kosmolua.runtime.state import State

HERE = Path(__file__).parent
RUNNER = (HERE / "spec.lua").read_bytes()
ENGINES = ("luajit21", "lua54")


def run_spec(path, engine):
    state = State(engine=engine)
    load = state.run_module_text(b"return function(source, name) return load(source, name, 't')() end")
    tests = load(path.read_bytes(), b"@" + path.name.encode())
    run = state.run_module_text(b"local use = ... return function(runner, tests) return load(runner)(use, tests) end")
    return run(RUNNER, tests).decode().split("\0")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", sorted(HERE.glob("*_spec.lua")), ids=lambda path: path.stem)
def test_spec(path, engine):
    """Every test in a spec file passes."""
    lines = run_spec(path, engine)

    assert lines
    assert [] == [line for line in lines if not line.startswith("ok ")]


def test_a_failing_test_is_reported(tmp_path):
    """A test that raises an error is reported with its name and the reason."""
    spec = tmp_path / "bad_spec.lua"
    spec.write_text("return { ['is wrong'] = function() assert(1 == 2, 'one is not two') end }")

    (line,) = run_spec(spec, "luajit21")

    assert line.startswith("not ok is wrong: ")
    assert "one is not two" in line
