"""`regex` in a run has errors, callbacks and limits like other functions."""

import pytest

from kosmolua.runtime.limits import Limits


def test_an_invalid_pattern_has_the_scripts_line(lua):
    """The error table has the position in the pattern, and the line of the call."""
    error = lua("local text = 'a'\nregex.match(text, '(a')\nreturn 1").error

    assert "invalid_arguments" == error.code
    assert "regex.match: expected `)` for this `(`, got the end of the pattern - at character 1" in error.message
    assert error.message.endswith(" of the pattern")
    assert "flow.lua:2" == error.where


def test_an_error_can_be_caught(lua):
    """A script can catch the error by its code, like the error of any call."""
    result = lua("local ok, e = pcall(regex.gsub, 'a', 'a', '$9') return ok, e.code, e['function']")

    assert [False, "invalid_arguments", "regex.gsub"] == result.results


def test_a_match_can_be_returned(lua):
    """A match can be returned because it is plain data."""
    result = lua("local m = regex.match('x=1', [[(?<name>\\w)=(\\d)(!)?]]) return m, regex.match_all('', 'a')")

    assert [
        {"text": "x=1", "start": 1, "stop": 3, "groups": ["x", "1", False], "named": {"name": "x"}},
        [],
    ] == result.results


def test_a_replacement_calls_its_host(lua, host):
    """The callback may call the host: in concurrent tasks each search keeps the place in its own text."""
    result = lua("""
      local function ask(m)
        integrations.replicate.echo { text = m.text }
        return m.text:upper()
      end
      return parallel({ "a-b", "c-d" }, function(text) return (regex.gsub(text, "[a-z]", ask)) end)
    """)

    assert [["A-B", "C-D"]] == result.results
    assert [{"text": letter} for letter in "abcd"] == sorted((call[2] for call in host.calls), key=str)


def test_an_error_in_a_replacement_is_passed_on(lua):
    """The script gets its own error with its line."""
    error = lua("local f = function() error('no luck') end\nregex.gsub('a', 'a', f)\nreturn 1").error

    assert ("script_error", "no luck", "flow.lua:1") == (error.code, error.message, error.where)


@pytest.mark.parametrize("pattern", ["(?:a?){200}a{200}b", "((a|aa){1,30}){1,30}$"])
def test_a_cpu_limit_ends_a_long_search(lua, pattern):
    """The run's CPU limit ends the search of a long text."""
    source = f"local m = regex.match(('a'):rep(20000000) .. '!', '{pattern}') return m"
    error = lua(source, limits=Limits(cpu=0.5)).error

    assert "limit_reached" == error.code


def test_a_script_cannot_reach_into_a_search(lua):
    """A script that changes its libraries does not affect `regex`."""
    result = lua("""
      string.find, string.byte, string.sub, table.concat, table.sort = nil, nil, nil, nil, nil
      regex.match = regex.match
      return regex.gsub("a1b2", "[0-9]", "<$0>")
    """)

    assert ["a<1>b<2>", 2] == result.results
