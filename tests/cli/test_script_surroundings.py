"""The environment of a script on the command line: input, text files, variables, and the exit status."""

import json
import subprocess
import sys

import pytest
from surroundings import clean_environment

READ = ["lua", "--no-check", "--emulate"]


@pytest.mark.parametrize(
    ("source", "given", "shown"),
    [
        ("print(io.read())", b"one\ntwo\n", "one\n"),
        ("print(stdin:read('L'))", b"one\ntwo\n", "one\n\n"),
        ("print(io.read('n', 'n', 'l'))", b" 12\n0x1F rest\n", "12\t31\t rest\n"),
        ("print(io.read('*n', 1, '*n'))", b"1.5e2,-3", "150\t,\t-3\n"),
        ("print(io.read(3), io.read(0), io.read(99), io.read(0), io.read(1))", b"abcdef", "abc\t\tdef\tnil\tnil\n"),
        ("write(io.read('a'), '|', io.read('a'), '|', io.read())", b"x\ny", "x\ny||nil"),
        ("for line in io.lines() do write('[', line, ']') end", b"a\n\nb\n", "[a][][b]"),
        ("for line in stdin:lines() do write('[', line, ']') end", b"a\r\nb", "[a\r][b]"),
        ("for a, b in io.lines(nil, 1, 'n') do write(a, '=', b, ' ') end", b"a1b2", "a=1 b=2 "),
        ("print(io.read('n'), io.read('l'))", b"zero\n", "nil\tzero\n"),
        ("print(#io.read('a'))", b"x" * 300_000, "300000\n"),
        ("local n = 0 for line in io.lines() do n = n + #line end print(n)", b"x" * 200_000 + b"\ny", "200001\n"),
        ("print(io.read())", b"", "nil\n"),
    ],
)  # fmt: skip
def test_standard_input_is_read_as_in_lua(kosmo, source, given, shown):
    """A script can read lines, numbers, a number of bytes, or all of standard input."""
    assert (0, shown, "") == kosmo(*READ, "-e", source, stdin=given).seen


def test_a_script_read_from_standard_input_has_no_input(kosmo):
    """A script that was read from standard input gets no further input."""
    assert (0, "nil\n", "") == kosmo(*READ, stdin=b"print(io.read())").seen


def test_standard_input_is_in_the_journal(kosmo):
    """A resumed run gets the same input from the journal, and continues after it."""
    first = "print(io.read(2)) error('stop')"
    second = "print(io.read(2)) sleep(0)"
    given = b"abcd"

    assert 1 == kosmo(*READ, "--journal", "j", "-e", first, stdin=given).seen[0]
    assert (0, "ab\n") == kosmo(*READ, "--journal", "j", "-e", second, stdin=b"").seen[:2]


def test_text_files_are_read_and_written(kosmo, tmp_path):
    """Files with any bytes can be read and written in allowed directories."""
    (tmp_path / "in.txt").write_bytes(b"one\r\ntwo\n\xff")
    source = """
      for line in file('in.txt'):lines() do write('[', #line, ']') end
      print(#file('in.txt'):read(), file('in.txt'):read('l', 'l'))
      local made = write_file('out/a.bin', file('in.txt'):read())
      append_file(made.path, 'more')
      write_file(made.path, file(made.path):read() .. '!')
      append_file('out/b.txt', 'b')
      print(made.size)
    """
    ran = kosmo(*READ, "--json", "--allow-read", ".", "--allow-write", ".", "-e", source)
    envelope = json.loads(ran.seen[1])

    assert "[3][3][1]10\tone\r\ttwo\n10\n" == envelope["output"]
    assert b"one\r\ntwo\n\xffmore!" == (tmp_path / "out" / "a.bin").read_bytes()
    assert b"b" == (tmp_path / "out" / "b.txt").read_bytes()
    assert [("read_file", "in.txt", "ok")] * 4 + [
        ("write_file", "out/a.bin", "ok"), ("append_file", "out/a.bin", "ok"), ("read_file", "out/a.bin", "ok"),
        ("write_file", "out/a.bin", "ok"), ("append_file", "out/b.txt", "ok"),
    ] == [(entry["function"], entry["note"], entry["outcome"]) for entry in envelope["call_log"]]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("write_file('new.txt', {})", "write_file: expected text to write, got a table; convert it: json.encode"),
        ("write_file('new.txt')", "write_file: expected text to write, got nothing"),
        ("write_file(nil, 'x')", "write_file: expected the path of a file, got nothing"),
        ("write_file('old.txt', 'x')", "'old.txt' exists, and this run did not write it; nothing was written"),
        ("write_file('new.txt', 'x', { overwite = true })", "unknown option `overwite`; did you mean `overwrite`?"),
        ("file('none.txt'):read()", "cannot read 'none.txt': No such file or directory"),
        ("file('.kosmo'):read()", "it is in a .kosmo directory"),
        ("append_file('/nowhere/x', 'x')", "'/nowhere/x' is not in a directory that the script may write to"),
    ],
)  # fmt: skip
def test_a_mistake_with_a_text_file_is_one_sentence(kosmo, tmp_path, source, words):
    """A mistake with a text file gives an error of one sentence, and nothing is written."""
    (tmp_path / "old.txt").write_text("old")
    status, _shown, told = kosmo(*READ, "--allow-read", ".", "--allow-write", ".", "-e", source).seen

    assert status in {1, 2, 3}
    assert words in told
    assert "old" == (tmp_path / "old.txt").read_text()
    assert not (tmp_path / "new.txt").exists()


def test_a_dry_run_writes_no_file(kosmo, tmp_path):
    """A dry run reports the file it would write."""
    source = "print(write_file('new.txt', 'x').size)"

    assert (0, "1\n", "") == kosmo(*READ, "--dry-run", "--allow-write", ".", "-e", source).seen
    assert not (tmp_path / "new.txt").exists()


def test_a_resumed_run_does_not_append_twice(kosmo, tmp_path):
    """When a run is resumed, the earlier write is answered from the journal."""
    source = "append_file('log.txt', 'x') if not file('go.txt'):read() then end"
    argv = [*READ, "--allow-read", ".", "--allow-write", ".", "--journal", "j", "-e", source]

    assert 0 != kosmo(*argv).seen[0]
    (tmp_path / "go.txt").write_text("go")
    assert 0 == kosmo(*argv).seen[0]
    assert "x" == (tmp_path / "log.txt").read_text()


def test_only_named_variables_are_allowed(kosmo):
    """Variables that are not allowed by name are nil, as if unset."""
    source = "print(os.getenv('OPEN'), os.getenv('SHUT'), os.getenv('UNSET'))"
    ran = kosmo(*READ, "--allow-env", "OPEN", "--allow-env", "UNSET", "-e", source, env={"OPEN": "o", "SHUT": "s"})

    assert (0, "o\tnil\tnil\n", "") == ran.seen


@pytest.mark.parametrize("name", ["REPLICATE_API_TOKEN", "REPLICATE_API_KEY", "COPY", "WITHIN"])
def test_variables_with_a_token_are_refused(kosmo, name):
    """A variable whose value contains a token is refused under any name."""
    env = {"REPLICATE_API_TOKEN": "secret-token-value", "WITHIN": "Bearer secret-token-value", "COPY": "r8_marked"}
    status, shown, told = kosmo(*READ, "--allow-env", name, "-e", f"print(os.getenv('{name}'))", env=env).seen

    assert (2, "") == (status, shown)
    assert f"error: --allow-env {name}: scripts never get an API token" in told
    assert "secret-token-value" not in told


@pytest.mark.parametrize("name", ["KOSMO_DATABASE", "KOSMO_MCP_TOKEN"])
def test_variables_with_secrets_of_the_program_are_refused(kosmo, name):
    """The variables with the workers' database password and the MCP server's token are refused."""
    ran = kosmo(*READ, "--allow-env", name, "-e", f"print(os.getenv('{name}'))", env={name: "postgresql://u:marked@h"})

    assert (2, "") == ran.seen[:2]
    assert f"error: --allow-env {name}: scripts never get a secret of kosmolua" in ran.seen[2]
    assert "marked" not in ran.seen[2]


def test_a_script_chooses_the_exit_status(kosmo):
    """The run ends with the exit status that the script chooses, without a message; with --json the envelope has an
    error with its own code."""
    assert (7, "a", "") == kosmo(*READ, "-e", "write('a') exit(7) print('b')").seen
    assert (0, "a", "") == kosmo(*READ, "-e", "write('a') os.exit() print('b')").seen
    status, shown, _ = kosmo(*READ, "--json", "-e", "exit(7)").seen
    envelope = json.loads(shown)
    assert (7, False, "exited") == (status, envelope["success"], envelope["code"])


@pytest.mark.parametrize("name", ["two-fer", "lib.two-fer", "lib/two-fer", "a b", "ünï", "x@2"])
def test_modules_are_found_under_any_name_of_a_file(kosmo, tmp_path, name):
    """In a module name dots separate directories; no other character is special."""
    path = tmp_path / f"{name.replace('.', '/')}.lua"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/usr/bin/env lua\nreturn { name = ... }")

    assert (0, f"{name}\n", "") == kosmo(*READ, "--allow-read", ".", "-e", f"print(require('{name}').name)").seen


def test_a_script_finds_modules_on_its_own_path(kosmo, tmp_path):
    """Templates in `package.path` are relative to the script."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "m.lua").write_text("return 'found'")
    source = "package.path = '/usr/share/lua/5.1/?.lua;./src/?.lua;' .. package.path print(require('m'))"

    assert (0, "found\n", "") == kosmo(*READ, "--allow-read", ".", "-e", source).seen


def test_two_tasks_read_standard_input_in_turn(tmp_path):
    """A task that cannot read yet waits for its turn without blocking, so that the run can end."""
    source = "spawn(io.read) spawn(io.read) sleep(0.2) error('stop')"
    command = [sys.executable, "-m", "kosmolua", *READ, "-e", source]
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=clean_environment(tmp_path), cwd=tmp_path) as process:
        process.stdin.write(b"one\n")
        process.stdin.flush()

        assert 1 == process.wait(30)
