"""A script's environment has exactly these names."""

import pytest

ENVIRONMENT = (
    "_G _VERSION app append_file arg args assert bit collectgarbage coroutine debug docs dofile download dump each "
    "error exit file getmetatable integrations io ipairs jit json load loadfile loadstring log math next os "
    "package pairs parallel pcall print race rawequal rawget rawset regex replicate require run select "
    "setmetatable sleep spawn stdin stream string table time "
    "tonumber tostring type unpack wait write write_file xpcall"
)
LIBRARIES = {
    "coroutine": "create isyieldable resume running status wrap yield",
    "string": "byte char find format gmatch gsub len lower match rep reverse sub upper",
    "table": "concat insert maxn move pack remove sort unpack",
    "os": "clock date difftime exit getenv time",
    "io": "lines open read stderr stdin stdout write",
    "package": "config cpath loaded path preload",
    "package.loaded": (
        "_G bit coroutine debug docs integrations io jit json math os package regex replicate string table"
    ),
    "jit": "arch os version version_num",
    "debug": "getinfo getmetatable traceback",
    "stdin": "close lines read",
    "docs": "list read search",
    "json": "array decode encode null object",
    "regex": "gsub match match_all",
    "bit": "arshift band bnot bor bswap bxor lshift rol ror rshift tobit tohex",
}
REFUSED = (
    "debug.getlocal debug.getregistry debug.getupvalue debug.sethook debug.setmetatable ffi gcinfo getfenv io.popen "
    "jit.off jit.on jit.opt module newproxy package.loaders package.loadlib "
    "package.searchers python setfenv string.dump"
)


def names_of(lua, expression):
    result = lua(f"local n = {{}} for k in pairs({expression}) do n[#n + 1] = k end table.sort(n) return n")
    return result.results[0]


def test_the_environment_is_the_allow_list(lua):
    """The environment has exactly the names on the list."""
    assert sorted(ENVIRONMENT.split()) == names_of(lua, "_G")


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_is_the_allow_list(lua, library):
    """Each library has exactly the names on the list."""
    assert sorted(LIBRARIES[library].split()) == names_of(lua, library)


@pytest.mark.parametrize("name", REFUSED.split())
def test_excluded_names_are_nil(lua, name):
    """Names that scripts must not have are nil."""
    assert [True] == lua(f"return {name} == nil").results


@pytest.mark.parametrize(
    "attack",
    [
        "return getmetatable('').__index",
        "return string.dump(function() end)",
        "return getmetatable(integrations.replicate).__index",
        "return setmetatable(integrations.replicate, {})",
        "return getmetatable(json.null).__index.x",
        "json.null.x = 1",
        "return os.execute('true')",
        "return ('').dump(print)",
        "return _G.python.eval('1')",
        "return select(2, pcall(error)).__traceback__",
    ],
)
def test_attacks_fail(lua, attack):
    """Each attempt to escape ends in an ordinary error."""
    assert "script_error" == lua(attack).error.code


def test_no_python_object_is_reachable(lua):
    """Every value that can be reached from the globals is plain Lua: no userdata, no cdata."""
    result = lua("""
      local seen, kinds = {}, {}
      local function walk(v)
        kinds[type(v)] = true
        if type(v) ~= "table" or seen[v] then return end
        seen[v] = true
        for k, item in next, v do walk(k) walk(item) end
      end
      walk(_G)
      walk(getmetatable(""))
      local names = {}
      for kind in pairs(kinds) do names[#names + 1] = kind end
      table.sort(names)
      return names
    """)

    assert not {"userdata", "cdata", "thread"} & set(result.results[0])


def test_string_methods_are_the_scripts_own(lua):
    """`("x"):rep` uses the sandbox's string table, so a script's changes affect only its own strings."""
    assert ["xx", "patched"] == lua("""
      local before = ("x"):rep(2)
      string.rep = function() return "patched" end
      return before, ("x"):rep(2)
    """).results
    assert ["xx"] == lua('return ("x"):rep(2)').results
