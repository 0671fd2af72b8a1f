"""The files for operators start workers with flags that exist."""

import json
import re
import shlex
from pathlib import Path

import pytest

from kosmolua.cli.worker import _parser

DOCS = Path(__file__).parent.parent.parent / "docs"


def commands():
    """What each file starts a worker with."""
    for name in ("compose.yaml", "kubernetes.yaml"):
        text = (DOCS / "deploy" / name).read_text()
        yield from (json.loads(found) for found in re.findall(r'(?:command|args): (\["worker".*\])', text))
    unit = re.search(r"ExecStart=\S*/kosmo (.*)", (DOCS / "workers.md").read_text())
    yield shlex.split(unit[1])


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_a_worker_is_started_with_known_flags(words):
    """The command line is accepted."""
    command, *flags = words

    assert "worker" == command
    assert "allow" == _parser(command).parse_args(flags).write


def test_each_file_has_its_command():
    """Compose, Kubernetes and systemd."""
    assert 3 == len(list(commands()))


@pytest.mark.parametrize("name", ["compose.yaml", "kubernetes.yaml"])
def test_workers_have_time_to_end(name):
    """Longer than a worker waits for requests that may cost money."""
    text = (DOCS / "deploy" / name).read_text()

    assert 90 == int(re.search(r"(?:stop_grace_period|terminationGracePeriodSeconds): (\d+)", text)[1])
    assert "\t" not in text
