"""A host works in programs with lower limits or with other child processes."""

import subprocess
import sys

import pytest

# Sets up the environment, then runs good and bad scripts on a host in each way.
PROGRAM = """
import os, resource, signal, sys, threading, time
from kosmolua import Host, Limits
{surroundings}
for prepare in (True, False):
    with Host(emulate=True, prepare=prepare) as host:
        for n in range(8):
            assert host.run("print(1) return args[1]", [str(n)]).value == str(n)
        failed = host.run("error('boom')")
        assert (failed.error.code, failed.error.where) == ("script_error", "script:1"), failed.error
        assert host.run("return integrations.replicate.get_account{{}}.username").value == "emulator"
        run = host.script("while true do end")
        threading.Timer(0.2, run.stop).start()
        assert run.result().error.code == "interrupted"
        {more}
print("done")
"""
REAPS = """
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            time.sleep(0.0005)
threading.Thread(target=reap, daemon=True).start()
"""
HANDLES = """
def take(*_):
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, take)
"""


def run(surroundings, more="pass"):
    code = PROGRAM.format(surroundings=surroundings, more=more)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    return ran.returncode, ran.stdout, ran.stderr


@pytest.mark.parametrize(
    "surroundings",
    [
        REAPS,
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
        HANDLES,
    ],
    ids=["waits for all", "ignored", "handler"],
)
def test_a_program_that_waits_for_every_child(surroundings):
    """Runs and the host end normally in a program that waits for every child process."""
    assert (0, "done\n", "") == run(surroundings)


def test_an_unknown_exit_status_is_explained():
    """A prepared process knows how its children end; otherwise the error explains why the status is unknown."""
    more = """
        with Host(emulate=True, prepare=prepare, limits=Limits(cpu=0.2)) as limited:
            error = limited.run("while true do end").error
        known = "CPU time limit" in error.message
        assert known or (not prepare and "ignores SIGCHLD or waits for every child" in error.message), error
"""
    assert (0, "done\n", "") == run(REAPS, more.strip())


@pytest.mark.parametrize(
    ("limit", "fact"),
    [
        ("resource.RLIMIT_AS, (700 << 20,) * 2", {"address_space": 700 << 20}),
        ("resource.RLIMIT_CPU, (20, 20)", {"cpu": 20}),
        ("resource.RLIMIT_CPU, (20, resource.RLIM_INFINITY)", {"cpu": 20}),
        ("resource.RLIMIT_FSIZE, (1 << 20,) * 2", None),
        ("resource.RLIMIT_NOFILE, (64, 64)", None),
        ("resource.RLIMIT_CORE, (0, 0)", None),
    ],
)
def test_lower_limits_of_the_program(limit, fact):
    """The program's lower limit applies, and the result says so."""
    more = f"assert host.run('return 1').isolation.get('lowered') == {fact!r}"

    assert (0, "done\n", "") == run(f"resource.setrlimit({limit})", more)


def test_a_lower_limit_of_cpu_ends_a_loop():
    """The error names the lower CPU limit that applied."""
    code = """
import resource
from kosmolua import Host
resource.setrlimit(resource.RLIMIT_CPU, (2, 2))
for prepare in (True, False):
    with Host(emulate=True, prepare=prepare) as host:
        print(host.run("while true do end").error.message)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert ["the script reached its CPU time limit of 2 s"] * 2 == ran.stdout.splitlines()
