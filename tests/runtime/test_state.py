"""Lua states load modules from source and bytecode, and are released."""

import gc

import pytest

from kosmolua import Host
from kosmolua.runtime.state import MODULES, Modules, State


def test_compiled_modules_are_bytecode_for_this_engine():
    """Every module is compiled, or none if the engine is not LuaJIT."""
    text = Modules.read()

    compiled = State(modules=text).compiled(text)
    other = State(engine="lua54").compiled(text)

    assert (b"b", set(MODULES)) == (compiled.mode, set(compiled.contents))
    assert all(content.startswith(b"\x1bLJ") for content in compiled.contents.values())
    assert text is other


def test_compiled_modules_keep_names_and_lines():
    """An error in a module names the same line, whether loaded from source or from bytecode."""
    source = b"""
    local use = ...
    local told = {}
    for _, name in ipairs{ "json", "msgpack", "pattern", "values" } do
      for key, value in pairs(use(name)) do
        if type(value) == "function" then
          local info = debug.getinfo(value, "S")
          told[#told + 1] = name .. "." .. key .. " " .. info.short_src .. ":" .. info.linedefined
        end
      end
    end
    table.sort(told)
    local _, why = pcall(use("pattern").find)
    return table.concat(told, "\\n") .. tostring(why)
    """
    text = Modules.read()

    assert State(modules=text).run_module_text(source) == State(
        modules=State(modules=text).compiled(text)
    ).run_module_text(source)


def test_a_compiled_set_is_not_compiled_again():
    """Compiling a set of compiled modules returns the same set."""
    text = Modules.read()
    compiled = State(modules=text).compiled(text)

    assert compiled is State(modules=compiled).compiled(compiled)


def test_a_script_cannot_load_bytecode():
    """Only the host may load bytecode."""
    with Host(emulate=True) as host:
        result = host.run("return load(args[1])", ["\x1bLJ\x02"])

    assert [None, "load: bytecode is refused; give Lua source text"] == result.results


@pytest.mark.parametrize(
    "source", ["return 1", "error('x')", "local t = {} for i = 1, 9 do t[i] = { i } end return t", "print('x')"]
)
def test_a_state_is_freed_with_its_run(source):
    """No state remains until a garbage collection, which is slow in a large process."""
    with Host(isolation="none", emulate=True) as host:
        gc.collect()
        gc.disable()
        try:
            host.run(source)
            left = [each for each in gc.get_objects() if type(each).__name__ == "LuaRuntime"]
        finally:
            gc.enable()

    assert [] == left
