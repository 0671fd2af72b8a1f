"""The completion scripts, run by the shells they are for."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from kosmolua.cli import COMMANDS, main
from kosmolua.cli.options import FLAGS
from kosmolua.replicate.catalogue import OPERATIONS, PROVIDER

BASH = shutil.which("bash")
FULL = [f"{PROVIDER}.{operation.name}" for operation in OPERATIONS]
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """Writes the completion script of a shell to a file, and returns its path."""
    folder = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        run = subprocess.run([sys.executable, "-m", "kosmolua", "completion", shell], capture_output=True, check=True)
        (folder / shell).write_bytes(run.stdout)
    return lambda shell: str(folder / shell)


def split(line):
    """The words as readline splits them: at spaces, colons and equals signs."""
    return [word for part in line.split(" ") for word in (re.findall(r"[:=]+|[^:=]+", part) or [""])]


@pytest.fixture
def complete(script):
    """The completions that bash offers with the cursor at the end of a line, with the preceding text prepended."""

    def offers(line, breaks=" \t\n\"'><=;|&(:"):
        words = split(line) if ":" in breaks else line.split(" ")
        quoted = " ".join(f"'{word}'" for word in words)
        code = (
            f"source {script('bash')}; COMP_WORDBREAKS=$1; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; "
            'COMP_LINE=$2; COMP_POINT=${#2}; _kosmo; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        run = subprocess.run([BASH, "-c", code, "bash", breaks, line], capture_output=True, text=True, check=True)
        assert "" == run.stderr
        last = line.rpartition(" ")[2]
        prefix = last.rpartition(":")[0] + ":" if ":" in last and ":" in breaks else ""
        return [prefix + word for word in run.stdout.split()]

    return offers


def test_commands_are_completed(complete):
    """Commands are completed after the program's name, including those with a colon."""
    assert {*COMMANDS, "lua"} <= set(complete("kosmo "))
    assert [name for name in COMMANDS if name.startswith("integrations:")] == complete("kosmo integrations:")
    assert ["integrations:call"] == complete("kosmo integrations:ca")
    assert ["integrations:call"] == complete("kosmo integrations:ca", breaks=" \t\n")


def test_functions_are_completed(complete):
    """The generic command requires the provider's prefix, the shortcut does not; both also accept the long names."""
    assert FULL == complete("kosmo integrations:call ")
    assert ["replicate.get_account"] == complete("kosmo integrations:call replicate.get_a")
    assert ["replicate.replicate_get_account"] == complete("kosmo integrations:call replicate.replicate_get_a")
    assert ["get_account"] == complete("kosmo integrations:replicate get_a")
    assert ["replicate_get_account"] == complete("kosmo integrations:replicate replicate_get_a")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_parameters_are_completed(operation, complete):
    """After a function, its parameters and the flags of every call are offered."""
    found = complete(f"kosmo integrations:call replicate.{operation.name} --")

    assert {f"--{parameter.name.replace('_', '-')}" for parameter in operation.parameters} <= set(found)
    assert {f"--{flag.replace('_', '-')}" for flag in FLAGS} <= set(found)
    assert operation.paged == ("--all" in found)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kosmo integrations:replicate get_model --model-", ["--model-owner", "--model-name"]),
        ("kosmo integrations:replicate replicate_get_model --model-o", ["--model-owner"]),
        ("kosmo integrations:replicate --account work get_model --model-o", ["--model-owner"]),
        ("kosmo integrations:replicate get_model --model-owner --model-o", []),
        ("kosmo integrations:replicate list_models --sort-by ", ["model_created_at", "latest_version_created_at"]),
        ("kosmo integrations:replicate list_models --sort-direction d", ["desc"]),
        ("kosmo integrations:replicate get_account --write ", ["allow", "ask", "deny"]),
        ("kosmo integrations:replicate get_model --model-owner ", []),
        ("kosmo integrations:replicate get_account --output ", []),
        ("kosmo integrations:replicate get_account ", []),
        ("kosmo integrations:replicate create_prediction --version a/b:c --input.x 1 --pr", ["--prefer"]),
        ("kosmo integrations:replicate create_prediction --version=a/b:c --pr", ["--prefer"]),
        ("kosmo integrations:docs er", ["errors"]),
        ("kosmo integrations:schema replicate.get_mod", FULL and [n for n in FULL if ".get_mod" in n]),
        ("kosmo integrations:search x --l", ["--limit"]),
        ("kosmo integrations:fields ", ["replicate"]),
        ("kosmo completion ", ["bash", "zsh", "fish"]),
        ("kosmo lua --ev", ["--eval"]),
        ("kosmo lua --cpu", ["--cpu-limit"]),
        ("kosmo lua ", []),
        ("kosmo nosuch ", []),
    ],
)  # fmt: skip
def test_known_words_are_offered(line, expected, complete):
    """Known words are offered at the cursor; nothing is offered where any text is allowed."""
    assert expected == complete(line)


def test_every_program_completes(script):
    """The program's three names share one completion function."""
    run = subprocess.run(
        [BASH, "-c", f"source {script('bash')}; complete -p kosmo kosmokrator kosmolua"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert 3 == run.stdout.count("-F _kosmo ")


def test_a_terminal_completes(script, tmp_path):
    """With readline on a terminal, bash completes a word when Tab is pressed."""
    import pty

    settings = "PS1='> '\nbind 'set enable-bracketed-paste off'\n"
    stub = """kosmo() { printf '<%s>' "$@"; exit; }\n"""
    (tmp_path / "rc").write_text(f"{settings}source {script('bash')}\n{stub}")
    ours, theirs = pty.openpty()
    bash = subprocess.Popen(
        [BASH, "--noprofile", "--rcfile", str(tmp_path / "rc"), "-i"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while not shown.endswith(b"> "):
        shown += os.read(ours, 4096)
    os.write(ours, b"kosmo integrations:rep\tget_acc\t--dry\t\n")

    assert "<integrations:replicate><get_account><--dry-run>" in drained(ours)
    assert 0 == bash.wait(timeout=10)


def drained(terminal):
    found = b""
    try:
        while part := os.read(terminal, 4096):
            found += part
    except OSError:  # Linux reports this error if the other end is closed
        pass
    os.close(terminal)
    return found.decode()


def test_bash_starts_no_program(script):
    """Completion works in bash with an empty PATH, since the script contains all candidates."""
    code = (
        f"source {script('bash')}; PATH=/nonexistent; COMP_WORDS=(kosmo integrations:replicate get_acc); COMP_CWORD=2; "
        'COMP_WORDBREAKS=" "; _kosmo; echo "${COMPREPLY[@]}"'
    )
    run = subprocess.run([BASH, "-c", code], capture_output=True, text=True, check=True)

    assert ("get_account\n", "") == (run.stdout, run.stderr)


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_each_script_is_valid_syntax(shell, script):
    """Each shell accepts the syntax of its completion script."""
    run = subprocess.run([shell, "-n", script(shell)], capture_output=True, text=True, check=False)

    assert (0, "") == (run.returncode, run.stderr)


@pytest.mark.parametrize("shell", ["zsh"] if shutil.which("zsh") else [])
def test_zsh_offers_the_same(shell, script):
    """zsh computes its candidates with the same functions as bash."""
    code = f"source {script('zsh')}; _kosmo_candidates integrations:replicate get_model --m | head -1"
    run = subprocess.run([shell, "-f", "-c", code], capture_output=True, text=True, check=True)

    assert "--model-owner --model-name\n" == run.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("kosmo integrations:ca", ["integrations:call"]),
        ("kosmo integrations:call replicate.get_acc", ["replicate.get_account"]),
        ("kosmokrator integrations:replicate get_model --model-o", ["--model-owner"]),
        ("kosmo integrations:replicate list_models --sort-direction ", ["asc", "desc"]),
        ("kosmo completion z", ["zsh"]),
    ] if shutil.which("fish") else [],
)  # fmt: skip
def test_fish_completes(line, expected, script):
    """fish offers the same candidates as bash."""
    run = subprocess.run(
        ["fish", "--no-config", "-c", f"source {script('fish')}; complete -C '{line}'"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert expected == sorted(row.partition("\t")[0] for row in run.stdout.splitlines())


@pytest.mark.parametrize("argv", [[], ["powershell"], ["bash", "zsh"]])
def test_another_shell(argv, capsys):
    """An unsupported shell is a usage error."""
    assert 2 == main(["completion", *argv])
    assert "usage" not in capsys.readouterr().out
