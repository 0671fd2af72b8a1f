"""The files for operators are valid, and start workers with existing flags."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from kosmolua.cli.worker import _parser

DOCS = Path(__file__).parent.parent.parent / "docs"


def commands():
    """The command that starts a worker in each file."""
    for name in ("compose.yaml", "kubernetes.yaml"):
        text = (DOCS / "deploy" / name).read_text()
        yield from (json.loads(found) for found in re.findall(r'(?:command|args): (\["worker".*\])', text))
    unit = re.search(r"ExecStart=\S*/kosmo (.*)", (DOCS / "workers.md").read_text())
    yield shlex.split(unit[1])


LINTERS = {
    "compose.yaml": ["check_jsonschema", "--builtin-schema", "vendor.compose-spec"],
    "kubernetes.yaml": ["kubernetes_validate", "--strict"],
}


def checked(name, path):
    """The linter's exit status and output for this file."""
    found = subprocess.run(
        [sys.executable, "-m", *LINTERS[name], str(path)], check=False, capture_output=True, text=True
    )
    return found.returncode, found.stdout + found.stderr


@pytest.mark.parametrize("name", LINTERS)
def test_the_linter_accepts_each_file(name):
    """Compose files match the schema of their specification, and manifests those of Kubernetes."""
    assert 0 == checked(name, DOCS / "deploy" / name)[0], checked(name, DOCS / "deploy" / name)[1]


@pytest.mark.parametrize(
    ("name", "key", "wrong"),
    [
        ("compose.yaml", "stop_grace_period: 90s", "stop_grace_period: [90]"),
        ("compose.yaml", "restart:", "restarts:"),
        ("kubernetes.yaml", "replicas: 2", "replicas: two"),
        ("kubernetes.yaml", "terminationGracePeriodSeconds:", "terminationGraceSeconds:"),
    ],
)
def test_the_linter_finds_mistakes(tmp_path, name, key, wrong):
    """The linter reports a wrong type and a misspelled key."""
    text = (DOCS / "deploy" / name).read_text()
    assert key in text
    (tmp_path / name).write_text(text.replace(key, wrong))

    status, said = checked(name, tmp_path / name)
    assert 0 != status
    assert "ModuleNotFoundError" not in said


def test_there_is_a_linter_for_each_file():
    """Every file has a linter."""
    assert sorted(LINTERS) == sorted(path.name for path in (DOCS / "deploy").iterdir())


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_worker_is_started_with_known_flags(words):
    """The command line accepts the flags in each file."""
    command, *flags = words

    assert "worker" == command
    assert "allow" == _parser(command).parse_args(flags).write


def test_each_file_has_its_command():
    """Compose, Kubernetes and systemd each have a file with the command."""
    assert 3 == len(list(commands()))


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_workers_have_time_to_end(name):
    """A worker is given more time to shut down than it spends waiting for requests that may cost money."""
    text = (DOCS / "deploy" / name).read_text()

    assert 90 == int(re.search(r"(?:stop_grace_period|terminationGracePeriodSeconds): (\d+)", text)[1])
    assert "\t" not in text
