"""The messages of a failed script: one place at the beginning, and one hint."""

import pytest

LUA = ["lua", "--emulate"]


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("if x = 1 then end", "Write == to compare."),
        ("local t = { a = 1 b = 2 }", "Separate the items with a comma."),
        ("print(7 // 2)", "Write math.floor(a / b); a comment begins with --."),
        ("local n = 1 n += 1", "Write n = n + 1: Lua has no assignment with an operator."),
        (
            "for i = 1, 3 do if i == 2 then continue end end",
            "Write goto continue, with ::continue:: before the end, instead of continue.",
        ),
        ("local a <const> = 1", "Write local name = value: LuaJIT has no attributes such as <const>."),
        ("if a != b then end", "Write ~= for not equal."),
        ("retrun 1", "Did you mean return instead of retrun?"),
        ("functoin f() end", "Did you mean function instead of functoin?"),
    ],
)
def test_a_syntax_error_has_a_hint(kosmo, tmp_path, source, hint):
    """A syntax error has a hint, both in the script and in a required module."""
    status, _, told = kosmo(*LUA, "-e", source).seen
    assert (1, True) == (status, told.endswith(f"hint: {hint}\n"))
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "bad.lua").write_text(f"local ok = 1\n{source}\n")
    status, _, told = kosmo(*LUA, "--allow-read", ".", "-e", "local a\nrequire('lib.bad')").seen

    assert 1 == status
    assert told.startswith("error: lib/bad.lua:2: ")
    assert f"  >    2 | {source}\n" in told
    assert told.endswith(f"hint: {hint}\n")


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        (
            "local api = replicate api.predictions.create({})",
            "replicate.predictions: functions have no namespaces here",
            "Use replicate.create(model, input), replicate.get_prediction { prediction_id = id }.",
        ),
        (
            "local n = 'input' run('black-forest-labs/flux-schnell', { [n] = { prompt = 'x' } })",
            "black-forest-labs/flux-schnell: unknown input `input`; pass its fields directly: { prompt = … }",
            "see its inputs",
        ),
        (
            "local p = replicate.create('black-forest-labs/flux-schnell', { prompt = 'x' }) p:wait()",
            "attempt to call method 'wait' (a nil value)",
            "predictions have no methods: use p = wait(prediction), or run, which waits",
        ),
        (
            "local p = wait(replicate.create('black-forest-labs/flux-schnell', { prompt = '' })) p.output[1]:save()",
            "attempt to call method 'save' (a nil value)",
            "use download(prediction.output, './')",
        ),
        ("create('a/b', {})", "attempt to call global 'create' (a nil value)", "write replicate.create"),
        ("sleep('x')", "sleep: expected seconds, zero or more, got a string", None),
    ],
)
def test_the_place_is_shown_once_and_first(kosmo, source, message, hint):
    """The message begins with the place, which is not repeated."""
    status, _, told = kosmo(*LUA, "--no-check", "-e", source).seen

    assert status in {1, 2}
    assert told.startswith(f"error: eval:1: {message}")
    assert "(eval:1)" not in told
    assert (hint or "") in told.rpartition("hint: ")[2]
    assert (1 if hint else 0) == told.count("hint: ")


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf#!/usr/bin/env -S kosmo lua"])
def test_an_excerpt_shows_no_invisible_characters(kosmo, tmp_path, start):
    """An excerpt contains neither a byte order mark nor carriage returns."""
    (tmp_path / "a.lua").write_bytes(start + b"\r\nerror('oops')\r\nprint(1)\r\n")
    first = "       1 | #!/usr/bin/env -S kosmo lua" if b"#" in start else "       1 | "
    shown = f"error: a.lua:2: oops\n{first}\n  >    2 | error('oops')\n       3 | print(1)\n"

    assert (1, "", shown) == kosmo(*LUA, "a.lua").seen


def test_a_prediction_prints_as_a_line(kosmo):
    """A prediction is printed as its id, model and status, whichever function returned it."""
    source = """
      local p = replicate.create('black-forest-labs/flux-schnell', { prompt = 'x' })
      local id = p.id
      print((tostring(p):gsub(id, 'ID')))
      print((tostring(wait(p)):gsub(id, 'ID')))
      print((tostring(replicate.list_predictions {}.results[1]):gsub(id, 'ID')))
      for one in each('list_predictions', {}, { limit = 1 }) do print((tostring(one):gsub(id, 'ID'))) end
      setmetatable(p, { __tostring = function() return 'own' end })
      print(p)
    """
    line = "prediction ID of black-forest-labs/flux-schnell: "
    shown = f"{line}starting\n" + f"{line}succeeded\n" * 3 + "own\n"

    assert (0, shown, "") == kosmo(*LUA, "-e", source).seen


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("require('cjson')", "json needs no require: json.encode(value), json.decode(text)"),
        (
            "require('socket.http')",
            "scripts have no network access: call models with run, and fetch outputs with download",
        ),
        ("dofile('other.lua')", "allow a directory: --allow-read DIR"),
    ],
)
def test_a_hint_names_the_replacement_of_a_library(kosmo, source, hint):
    """The hint names what replaces the library, even if the script may not read files."""
    status, _, told = kosmo(*LUA, "-e", source).seen

    assert 3 == status
    assert told.endswith(f"hint: {hint}\n")


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("local f = io.open('x', 'w') f:write('a')", "io.open returned nil: write assert(io.open(path))"),
        ("json.parse('1')", "write json.decode(text)"),
        ("local list = {} list.push(1)", "write table.insert(list, value)"),
        ("local list = {} print(list:join(','))", "write table.concat(list, ', ')"),
    ],
)
def test_a_hint_names_the_equivalent_of_other_languages(kosmo, source, hint):
    """The hint names Lua's equivalent of code in the style of other languages."""
    status, _, told = kosmo(*LUA, "-e", source).seen

    assert 1 == status
    assert f"hint: {hint}" in told


def test_the_stack_of_a_recursion(kosmo):
    """Repeated stack frames are counted and not shown one by one."""
    _, _, told = kosmo(*LUA, "-e", "local function f(n) return f(n) .. 1 end f(1)").seen

    assert "    stack:\n    eval:1 in 'f'\n    … 29 more of the same\n" in told
