import json
import subprocess
import sys

import pytest
from surroundings import clean_environment


class Ran:
    """A finished process: its status and what it wrote."""

    def __init__(self, process):
        self.status = process.returncode
        self.out = process.stdout.decode(errors="replace")
        self.raw = process.stdout
        self.err = process.stderr.decode()

    @property
    def json(self):
        """Standard output as one JSON value."""
        return json.loads(self.out)

    @property
    def seen(self):
        return (self.status, self.out, self.err)


@pytest.fixture
def kosmo(tmp_path):
    """Runs the command line in its own process, in an empty directory, with empty standard input."""

    def run(*argv, stdin=None, env=None, cwd=tmp_path):
        environment = {**clean_environment(tmp_path), **(env or {})}
        process = subprocess.run(
            [sys.executable, "-m", "kosmolua", *argv],
            check=False,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            env=environment,
            cwd=cwd,
            timeout=60,
        )
        return Ran(process)

    return run


@pytest.fixture
def live(server, kosmo):
    """Runs the command line against the recording server, with a token."""

    def run(*argv, env=None, **options):
        return kosmo(
            *argv, env={"REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked", **(env or {})}, **options
        )

    return run
