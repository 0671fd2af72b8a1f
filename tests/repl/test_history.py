"""The history file."""

import os
import stat
import tracemalloc

import pytest

from kosmolua.errors import ConfigurationError
from kosmolua.repl import history
from kosmolua.repl.history import History, is_secret


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state" / "history")


def test_history_is_shared_between_sessions(path):
    """Another session finds the entries, with any number of lines and any characters."""
    first = History(path)
    for text in ("x = 1", "if x then\n  y()\nend", "'ü\u2028'"):
        first.add(text)

    assert ["x = 1", "if x then\n  y()\nend", "'ü\u2028'"] == History(path).entries


def test_only_its_owner_can_read_the_file(path):
    """The file is made private, also if others could read it before."""
    History(path).add("x")
    mode = stat.S_IMODE(os.stat(path).st_mode)

    assert 0o600 == mode


@pytest.mark.parametrize(
    "text",
    [
        "x = 'r8_abcdefghijklmnopqrstuvwxyz'",
        "kosmo integrations:configure replicate",
        "local api_key = 'abc'",
        'headers = { Authorization = "Bearer abc" }',
        'headers["token"] = "abc"',
        "password='abc'",
        "k = 'whsec_abc'",
    ],
)
def test_secrets_are_not_stored(path, text):
    """Tokens, signing keys, and commands that configure them are not stored."""
    kept = History(path)
    kept.add(text)
    kept.add("x = 1")

    assert ["x = 1"] == History(path).entries


@pytest.mark.parametrize("text", ["max_tokens = 40", "token_count = 3", "dump(result)", "r8 = 1", "p.token"])
def test_harmless_text_is_stored(text):
    """Text about tokens is stored."""
    assert not is_secret(text)


def test_repeated_and_blank_inputs_are_not_stored(path):
    """The same input twice in a row gives one entry."""
    kept = History(path)
    for text in ("x", "x", "  ", "y", "x"):
        kept.add(text)

    assert ["x", "y", "x"] == kept.entries


def test_invalid_text_is_not_stored(path):
    """An input with invalid text is refused."""
    made = History(path)
    made.add("return '\udce9'")

    assert [] == made.entries == History(path).entries


def test_a_damaged_line_is_skipped(path):
    """A partial line, as left by a full disk, does not affect other lines."""
    History(path).add("x")
    with open(path, "ab") as file:
        file.write(b'"half\n\xff\n"y"\n')

    assert ["x", "y"] == History(path).entries


def test_the_size_of_the_file_is_limited(path, monkeypatch):
    """When the file reaches twice the maximum, its newer half is kept."""
    monkeypatch.setattr(history, "MAX_ENTRIES", 3)
    kept = History(path)
    for number in range(7):
        kept.add(str(number))

    assert ["4", "5", "6"] == History(path).entries
    assert ["4", "5", "6"] == History(path).entries


def test_an_unwritable_file(tmp_path):
    """The error names the path, and the entry is available in this session."""
    (tmp_path / "file").touch()
    kept = History(str(tmp_path / "file" / "history"))

    with pytest.raises(ConfigurationError, match="cannot write the history to"):
        kept.add("x")
    assert ["x"] == kept.entries


def test_a_huge_file_is_read_from_its_end(path):
    """The last entries are read in limited memory, and the rest is dropped."""
    History(path).add("x")
    with open(path, "ab") as file:
        file.truncate(20 * history.MAX_BYTES)  # a sparse file, which takes no disk space
        file.seek(0, os.SEEK_END)
        file.write(b'\n"the last"\n')
    tracemalloc.start()
    try:
        found = History(path).entries
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert ["the last"] == found
    assert most < 4 * history.MAX_BYTES
    assert os.path.getsize(path) < history.MAX_BYTES
