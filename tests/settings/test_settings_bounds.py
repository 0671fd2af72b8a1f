"""Configuration files are measured before parsing, because a cloned project may contain one."""

import time

import pytest

from kosmolua.errors import ConfigurationError
from kosmolua.settings import config
from kosmolua.settings.bounds import MAX_DEPTH, MAX_KEYS, MAX_SIZE, excess

SIZE, KEYS, DEPTH = f"larger than {MAX_SIZE} bytes", f"more than {MAX_KEYS} keys", f"more than {MAX_DEPTH} levels deep"
BEYOND = {
    "bytes": (b"#" * (MAX_SIZE + 1), SIZE),
    "unknown keys": (b"".join(b"key%d = 1\n" % n for n in range(30_000)), KEYS),
    "keys in a line": (b"a = { " + b", ".join(b"k%d=1" % n for n in range(30_000)) + b" }", KEYS),
    "tables": (b"".join(b"[t%d]\n" % n for n in range(30_000)), KEYS),
    "rules": (b"[[replicate.rules]]\n" * 20_000, KEYS),
    "accounts": (b"".join(b"[replicate.accounts.a%d]\nx = 1\n" % n for n in range(30_000)), KEYS),
    "brackets": (b"a = " + b"[" * 1000 + b"]" * 1000, DEPTH),
    "open brackets": (b"a = " + b"[" * 5_000, DEPTH),
    "inline tables": (b"a = " + b"{a=" * 1000, DEPTH),
    "dots": (b"a" + b".a" * 200_000 + b" = 1", DEPTH),
    "dots in a header": (b"[a" + b" . a" * 100_000 + b"]", DEPTH),
    "quoted names": (b'"a"' + b'."a"' * 100_000 + b" = 1", DEPTH),
    "after an open text": (b'a = """\\"""\n' + b"[" * 100 + b'"""\nb = ' + b"[" * 100, DEPTH),
}
WITHIN = {
    "a text full of brackets": b'a = "' + b"[{=." * 10_000 + b'"',
    "a literal text": b"a = '" + b"[{=." * 10_000 + b"'",
    "a text of several lines": b'a = """\n' + b'[{=.\n\\"' * 10_000 + b'"""',
    "a literal text of several lines": b"a = '''\n" + b"[{=.\n" * 10_000 + b"'''",
    "a comment": b"# " + b"[{=." * 100_000,
    "numbers": b"a = [" + b"1.5, " * 100_000 + b"]",
    "many rules": b'[[replicate.rules]]\nverdict = "deny"\nfunctions = "a.b.c"\n' * 2_000,
}


@pytest.mark.parametrize("name", BEYOND)
def test_too_large_files_are_not_parsed(tmp_path, name):
    """The error for a file that is too large names the file and the limit at once, also for an untrusted file."""
    content, why = BEYOND[name]
    (tmp_path / ".kosmo").mkdir()
    (tmp_path / ".kosmo" / "config.toml").write_bytes(content)
    environment = {"KOSMO_CONFIG_DIR": str(tmp_path / "own")}
    began = time.process_time()
    with pytest.raises(ConfigurationError) as caught:
        config.load(environment, directory=str(tmp_path))

    assert why in caught.value.message
    assert str(tmp_path / ".kosmo" / "config.toml") in caught.value.message
    assert time.process_time() - began < 0.5


@pytest.mark.parametrize("name", WITHIN)
def test_values_and_comments_do_not_count(name):
    """Texts, comments and values do not count as keys or depth."""
    assert excess(WITHIN[name]) is None


@pytest.mark.parametrize(
    "start", ['"""', "'''", '"', "'", "#", "\\", '"""\\', '"\\"', "[", "{", ".", "=", "\n", '\\"""']
)
def test_measuring_is_linear(start):
    """Measuring takes linear time for any repeated token, also an unclosed one."""
    content = start.encode() * (MAX_SIZE // len(start))
    began = time.process_time()
    excess(content)

    assert time.process_time() - began < 1.5


def test_many_unknown_keys_are_reported_in_one_line(tmp_path):
    """The line names the first unknown keys and gives the number of the others."""
    (tmp_path / "config.toml").write_bytes(b"".join(b"[k%d]\n" % n for n in range(5_000)) + b"k" * 9_000 + b" = 1")
    began = time.process_time()
    with pytest.raises(ConfigurationError, match="unknown key k0, key k1, key k2, and more") as caught:
        config.load({"KOSMO_CONFIG_DIR": str(tmp_path)}, directory=str(tmp_path))

    assert len(caught.value.message) < 500
    assert time.process_time() - began < 1
