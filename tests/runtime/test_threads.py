"""A run whose thread cannot be started."""

import subprocess
import sys

CODE = """
import resource, threading
from kosmolua import Host, KosmoError
with Host(prepare=False) as host:
    threading.stack_size(1 << 40)  # more than there is address space for
    resource.setrlimit(resource.RLIMIT_AS, (1 << 34, 1 << 34))
    try:
        result = host.run("return 1")
    finally:
        threading.stack_size(0)
    print(result.error.code, result.error.message)
    print(host.run("return 1").value)
"""


def test_a_failed_thread_start_is_an_ordinary_error():
    """The run fails with the system's reason, nothing is left, and the next run works."""
    ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)

    assert "system_error cannot start a thread: can't start new thread\n1\n" == ran.stdout
    assert "" == ran.stderr
