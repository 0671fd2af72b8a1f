"""Sandbox layers that a child applies to itself before it reads a script, so that a script that escapes from Lua gains
nothing.

Each layer reports whether it was applied: the kernel may be too old, or a container may forbid it. The constants come
from the kernel headers prctl.h, seccomp.h, bpf_common.h and landlock.h, and from the system call tables of two
architectures.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found] # `signal` creates enums: a tenth of the child's start time
import errno
import os
import resource
import sys

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Callable

LAYERS = ("process", "rlimits", "no_new_privs", "landlock", "seccomp")
REQUIRED = frozenset({"landlock", "seccomp"})  # strict isolation fails without them
# Address space for the interpreter, JIT machine code and buffers, which Lua's memory limit does not count.
HEADROOM = 512 * 1024 * 1024
# Seconds of CPU that Lua has, after the limit, to report the line at which it was reached, before the kernel kills the
# process.
GRACE = 0.25

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
LANDLOCK_VERSION = 1
SECCOMP_FILTER, SECCOMP_ACTION_AVAILABLE = 1, 2
KILL, ALLOW = 0x80000000, 0x7FFF0000
PROT_EXEC, PROT_WRITE_EXEC = 4, 6

_ANYWHERE = {"landlock_create_ruleset": 444, "landlock_restrict_self": 446}
# Besides the calls that apply the sandbox (prctl, seccomp) and those with checked arguments (read to mprotect), these
# are the calls that LuaJIT, malloc and two pipes need: found with strace, plus those for clocks and restarts.
_NUMBERS = {
    "x86_64": {
        "arch": 0xC000003E, "prctl": 157, "seccomp": 317, "read": 0, "write": 1, "mmap": 9, "mprotect": 10,
        "futex": 202, "munmap": 11, "mremap": 25, "brk": 12, "madvise": 28, "clock_gettime": 228, "clock_getres": 229,
        "gettimeofday": 96, "time": 201, "rt_sigreturn": 15, "restart_syscall": 219, "sched_yield": 24, "exit": 60,
        "exit_group": 231,
    },
    "aarch64": {
        "arch": 0xC00000B7, "prctl": 167, "seccomp": 277, "read": 63, "write": 64, "mmap": 222, "mprotect": 226,
        "futex": 98, "munmap": 215, "mremap": 216, "brk": 214, "madvise": 233, "clock_gettime": 113,
        "clock_getres": 114, "gettimeofday": 169, "rt_sigreturn": 139, "restart_syscall": 128, "sched_yield": 124,
        "exit": 93, "exit_group": 94,
    },
}  # fmt: skip


class Kernel:
    """System calls by name. ``call`` takes a system call number and at most five integers or byte strings; ``install``
    takes a system call number and a seccomp filter. Both return a negative error number on failure, as the kernel does.
    If they are not given, every call fails with ENOSYS.
    """

    def __init__(
        self, call: Callable[..., int] | None = None, install: Callable[[int, bytes], int] | None = None
    ) -> None:
        known = sys.platform == "linux" and sys.maxsize > 1 << 32
        self.numbers = _NUMBERS.get(os.uname().machine, {}) if known else {}
        self._call, self._install = call, install
        self._filters: dict[bool, bytes] = {}

    def __call__(self, name: str, *words: int | bytes) -> int:
        number = self.numbers and (self.numbers.get(name) or _ANYWHERE[name])
        return int(self._call(number, *words)) if self._call and number else -errno.ENOSYS

    def filter(self, *, strict: bool) -> bytes:
        """The seccomp filter, which is built only once."""
        if strict not in self._filters:
            self._filters[strict] = program(self.numbers, strict=strict)
        return self._filters[strict]

    def install(self, code: bytes) -> int:
        return int(self._install(self.numbers["seccomp"], code)) if self._install and self.numbers else -errno.ENOSYS


def confine(kernel: Kernel, memory: int | None, cpu: float | None, *, strict: bool, host: int) -> list[str]:
    """Apply all layers irreversibly; return the names of those applied. ``host`` is the parent's process id."""
    steps: dict[str, Callable[[], bool]] = {
        "process": lambda: hide(kernel, host),
        "no_new_privs": lambda: kernel("prctl", PR_SET_NO_NEW_PRIVS, 1) == 0,
        "landlock": lambda: leave_files(kernel),  # before the resource limits, which forbid descriptors
        "rlimits": lambda: limit_resources(memory, cpu),
        "seccomp": lambda: bool(kernel.numbers) and kernel.install(kernel.filter(strict=strict)) == 0,
    }
    held = {name for name, step in steps.items() if step()}
    return [name for name in LAYERS if name in held]


def hide(kernel: Kernel, host: int) -> bool:
    """Let the kernel kill this process when the host thread that started it ends, and make its memory unreadable to the
    user's other processes.
    """
    held = kernel("prctl", PR_SET_PDEATHSIG, _signal.SIGKILL) == 0 and kernel("prctl", PR_SET_DUMPABLE, 0) == 0
    if os.getppid() != host:
        os._exit(0)  # the host died before PR_SET_PDEATHSIG took effect
    return held


def lowered(memory: int | None, cpu: float | None) -> dict[str, int]:
    """Inherited limits that are lower than the requested ones: ``cpu`` in seconds, ``address_space`` in bytes.
    A process cannot raise an inherited limit.
    """
    found = {}
    for name, kind, wanted in (
        ("cpu", resource.RLIMIT_CPU, cpu and int(cpu) + 3),
        ("address_space", resource.RLIMIT_AS, memory and HEADROOM + 2 * memory),
    ):
        given = min((each for each in resource.getrlimit(kind) if each != resource.RLIM_INFINITY), default=None)
        if given is not None and (wanted is None or given < wanted):
            found[name] = given
    return found


def limit_resources(memory: int | None, cpu: float | None) -> bool:
    """Set the resource limits. SIGPROF arrives at the exact CPU time and kills the process unless Lua handles it;
    SIGVTALRM and RLIMIT_CPU kill it a little later. Lower inherited limits are kept.
    """
    below = lowered(memory, cpu)
    if cpu is not None:
        _signal.setitimer(_signal.ITIMER_PROF, min(cpu, below.get("cpu", cpu)))
        _signal.setitimer(_signal.ITIMER_VIRTUAL, min(cpu, below.get("cpu", cpu)) + GRACE)
        most = below.get("cpu", int(cpu) + 3)
        resource.setrlimit(resource.RLIMIT_CPU, (min(int(cpu) + 2, most), most))
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (below.get("address_space", HEADROOM + 2 * memory),) * 2)
    for kind in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC):
        resource.setrlimit(kind, (0, 0))
    return True


# Landlock ---------------------------------------------------------------------------------------------------------


def leave_files(kernel: Kernel) -> bool:
    """Deny access to every path, and to everything else that this kernel's Landlock can deny."""
    version = kernel("landlock_create_ruleset", 0, 0, LANDLOCK_VERSION)
    if version < 1:
        return False
    rules = ruleset(version)
    descriptor = kernel("landlock_create_ruleset", rules, len(rules), 0)
    if descriptor < 0:
        return False
    held = kernel("landlock_restrict_self", descriptor, 0) == 0
    os.close(descriptor)
    return held


def ruleset(version: int) -> bytes:
    """All rights that this Landlock version can deny: files, TCP (from version 4), signals and abstract Unix sockets
    outside the domain (from version 6).
    """
    files = {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)  # number of file rights
    rights = [(1 << files) - 1, *([3] if version >= 4 else []), *([3] if version >= 6 else [])]  # noqa: PLR2004
    return b"".join(word.to_bytes(8, sys.byteorder) for word in rights)


# Seccomp ----------------------------------------------------------------------------------------------------------


def program(numbers: dict[str, int], *, strict: bool) -> bytes:
    """The seccomp filter: a call that is not listed, or has other arguments, kills the process with SIGSYS.

    Executable memory is never mapped, so code is never loaded from a file. The JIT may make its own memory executable,
    but not writable and executable at once.
    """
    checks = {
        "read": _check(16, 0xFFFFFFFF, 0),
        "write": _check(16, 0xFFFFFFFF, 1, 2),
        "mmap": _check(32, PROT_EXEC, 0),
        "mprotect": _check(32, PROT_EXEC, 0) if strict else _check(32, PROT_WRITE_EXEC, 0, 2, 4),
    }
    plain = [name for name in numbers if name not in (*checks, "arch", "prctl", "seccomp")]
    listed = [*checks.items(), *((name, _end(ALLOW)) for name in plain)]
    arch = _step(_LOAD, 4) + _step(_JUMP_IF, numbers["arch"], 1, 0) + _end(KILL)
    return arch + _step(_LOAD, 0) + b"".join(_when(numbers[name], body) for name, body in listed) + _end(KILL)


_LOAD, _AND, _JUMP_IF, _END = 0x20, 0x54, 0x15, 0x06


def _step(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return operation.to_bytes(2, "little") + bytes((if_true, if_false)) + value.to_bytes(4, "little")


def _end(action: int) -> bytes:
    return _step(_END, action)


def _when(value: int, body: bytes) -> bytes:
    return _step(_JUMP_IF, value, 0, len(body) // 8) + body


def _check(offset: int, mask: int, *allowed: int) -> bytes:
    """Instructions that allow only these values of the argument at that offset, after masking. They check its lower
    half, which is all the kernel uses of these arguments.
    """
    cases = b"".join(_when(value, _end(ALLOW)) for value in allowed)
    return _step(_LOAD, offset) + _step(_AND, mask) + cases + _end(KILL)


# The host's side --------------------------------------------------------------------------------------------------


def conceal() -> bool:
    """Make this process's memory, which holds the token, unreadable to its child and the user's other processes.

    This lasts until the process ends; new processes do not inherit it. The superuser can still read the memory.
    """
    if sys.platform != "linux":
        return False
    try:
        import _ctypes  # as `ctypes.CDLL(None).prctl`; importing ctypes would add 1.5 ms to every start
    except ImportError:
        return False
    prctl = _ctypes.dlsym(_ctypes.dlopen(None, 0), "prctl")  # type: ignore[arg-type] # None: this very program
    return bool(_ctypes.call_function(prctl, (PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0)


def available() -> dict[str, bool | str]:
    """Each layer's name with True, or with the reason why the layer is unavailable on this machine. Applies no
    layer.
    """
    if sys.platform != "linux":
        return {name: name == "rlimits" or f"needs Linux, this is {sys.platform}" for name in LAYERS}
    kernel = Kernel(_host_call)
    if not kernel.numbers:
        why = f"unsupported architecture {os.uname().machine}; expected {' or '.join(_NUMBERS)}"
        return {name: name == "rlimits" or why for name in LAYERS}
    return {
        "process": True,
        "rlimits": True,
        "no_new_privs": True,
        "landlock": _landlock_reason(kernel("landlock_create_ruleset", 0, 0, LANDLOCK_VERSION)),
        "seccomp": _seccomp_reason(kernel("seccomp", SECCOMP_ACTION_AVAILABLE, 0, KILL.to_bytes(4, sys.byteorder))),
    }


def _landlock_reason(answer: int) -> bool | str:
    if answer == -errno.EOPNOTSUPP:
        return "Landlock is disabled; add it to lsm= on the kernel command line"
    return answer > 0 or f"Landlock needs Linux 5.13 or later ({os.strerror(-answer)})"


def _seccomp_reason(answer: int) -> bool | str:
    return answer == 0 or f"the kernel does not support seccomp filters that end a process ({os.strerror(-answer)})"


def _host_call(number: int, *words: int | bytes) -> int:
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    typed = (ctypes.c_char_p(word) if isinstance(word, bytes) else ctypes.c_long(word) for word in (*words, 0, 0, 0))
    answer = int(library.syscall(ctypes.c_long(number), *typed))
    return answer if answer >= 0 else -ctypes.get_errno()
