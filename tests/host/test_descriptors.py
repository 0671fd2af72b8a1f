"""Many concurrent runs work with few file descriptors."""

import subprocess
import sys

PROGRAM = """
import resource, sys, threading
from kosmolua import Host, KosmoError
soft, hard = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
found = []
def run(n):
    try:
        found.append(host.run(f"sleep(1) return integrations.replicate.get_account{{}}.username", journal=f"j{n}"))
    except KosmoError as error:
        found.append(error)
with Host(emulate=True) as host:
    threads = [threading.Thread(target=run, args=(n,)) for n in range(int(sys.argv[3]))]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    again = host.run("return 'fine'", journal="again").value
errors = [each if isinstance(each, KosmoError) else each.error for each in found]
errors = [each for each in errors if each]
print(len(found), len(errors), again, sorted({(each.code, "ulimit -n" in (each.hint or "")) for each in errors}))
"""


def ran(directory, *words):
    command = [sys.executable, "-c", PROGRAM, *map(str, words)]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=directory)
    return run.stdout, run.stderr


def test_the_soft_limit_is_raised(tmp_path, monkeypatch):
    """A host raises the soft limit to the hard limit when needed."""
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))

    assert ("60 0 fine []\n", "") == ran(tmp_path, 256, 4096, 60)


def test_beyond_the_hard_limit(tmp_path, monkeypatch):
    """The error says what to do, and the host continues to work."""
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))
    words, errors = ran(tmp_path, 120, 120, 30)

    count, failed, again, kinds = words.split(" ", 3)
    assert ("30", "fine", "[('not_configured', True)]\n", "") == (count, again, kinds, errors)
    assert int(failed) > 0
