"""Hosts work in programs that are not a plain Python interpreter, and with interpreters that need more than a path."""

import os
import subprocess
import sys
from pathlib import Path

import lupa
import msgspec
import pytest

from kosmolua import Host

ROOT = Path(__file__).parent.parent.parent
RUN = """
import sys
{surroundings}
from kosmolua import Host
for prepare in (True, False):
    with Host(prepare=prepare{options}) as host:
        result = host.run("return 1")
        print(result.error.code if result.error else result.value, (result.error or "") and result.error.message)
        print((result.error or "") and result.error.hint)
"""


def outcome(surroundings="", options="", command=(sys.executable,), **environment):
    """The output of a program with a host, which is the same with and without a prepared process."""
    code = RUN.format(surroundings=surroundings, options=options)
    ran = subprocess.run(
        [*command, "-c", code], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert "" == ran.stderr
    first, second = ran.stdout[: len(ran.stdout) // 2], ran.stdout[len(ran.stdout) // 2 :]
    assert first == second
    return first.rstrip()


@pytest.mark.parametrize(
    ("surroundings", "found"),
    [
        ("sys.frozen, sys.executable = True, '/opt/app/python'", "'/opt/app/python' is not a Python interpreter"),
        ("sys.executable = '/usr/sbin/uwsgi'", "'/usr/sbin/uwsgi' is not a Python interpreter"),
        ("sys.executable = ''", "sys.executable is empty"),
        ("sys.executable = None", "sys.executable is empty"),
    ],
    ids=["frozen", "uwsgi", "empty", "none"],
)
def test_a_program_that_is_not_an_interpreter(surroundings, found):
    """The program is not started repeatedly: the error names the parameter for the interpreter, which then works."""
    message, hint = outcome(surroundings).split("\n")

    assert f"not_configured cannot start a process for a script: {found}" == message
    assert "Host(python='/usr/bin/python3')" in hint
    assert "1" == outcome(surroundings, f", python={sys.executable!r}").strip()


def test_a_missing_interpreter(tmp_path):
    """The error for a missing interpreter names the path and the reason."""
    with Host(python=tmp_path / "python3", prepare=False) as host:
        error = host.run("return 1").error

    assert "not_configured" == error.code
    assert f"cannot start the Python interpreter '{tmp_path}/python3': No such file or directory" == error.message


@pytest.mark.parametrize("python", [3, b"python3", ""])
def test_a_wrong_interpreter_is_refused_at_once(python):
    """A wrong interpreter is refused when the host is created."""
    with pytest.raises(TypeError, match="python: expected the path of a Python interpreter"):
        Host(python=python)


def test_an_import_path_with_a_colon(tmp_path):
    """A child imports packages from the host's directories, even if a directory's name has a colon."""
    place = tmp_path / "a:b\nc"
    place.mkdir()
    for package in (lupa, msgspec):
        directory = Path(package.__file__).parent
        (place / directory.name).symlink_to(directory)
    added = f"sys.path += [{str(place)!r}, {str(ROOT)!r}]"

    assert "1" == outcome(added, command=(sys.executable, "-I", "-S")).strip()


def test_an_interpreter_with_libraries_elsewhere(tmp_path):
    """The child's dynamic linker uses the host's library path; nothing else from the environment is passed on."""
    code = "import os; from kosmolua.runtime import process; print(*sorted(process._environment()))"
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "REPLICATE_API_TOKEN": "r8_marked"}
    said = subprocess.check_output([sys.executable, "-c", code], text=True, env={**os.environ, **environment})

    assert "LC_ALL LD_LIBRARY_PATH TZ" == said.strip()
    assert "1" == outcome(LD_LIBRARY_PATH=str(tmp_path)).strip()


def test_a_run_while_the_program_ends():
    """A run in atexit works, or in Python 3.12 ends with an error; the same holds for a host created there."""
    code = """
import atexit
from kosmolua import Host, KosmoError
host = Host()
def late(host):
    result = host.run("return 1")
    print(result.error.code if result.error else result.value)
    host.close()
def later():
    try:
        late(Host())
    except KosmoError as error:
        print(error.code)
atexit.register(late, host)
atexit.register(later)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "" == ran.stderr
    assert set(ran.stdout.split()) <= {"1", "system_error"}
