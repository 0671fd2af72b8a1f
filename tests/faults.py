"""Raises an exception when a chosen function of the package begins, with the interpreter's trace functions.

``python faults.py FILE ARGUMENTS`` runs ``kosmo ARGUMENTS`` with faults. On SIGUSR2 the program reads and deletes FILE
and arms the fault in it; after the fault was raised, FILE.raised exists. FILE has one line: a function such as
``gate/session.py:Session._validated``, and a key of KINDS. If FILE exists at the start, its fault is armed immediately.
"""

import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

PACKAGE = f"{os.sep}kosmolua{os.sep}"
KINDS = {
    "ValueError": lambda: ValueError("injected"),
    "RecursionError": lambda: RecursionError("injected"),
    "MemoryError": MemoryError,
    "OSError": lambda: OSError(28, "No space left on device"),
}


def step_of(code):
    """A function of the package, as its file and name; None for functions of other packages."""
    _, package, file = code.co_filename.rpartition(PACKAGE)
    return f"{file}:{code.co_qualname}" if package else None


class Faults:
    """Raises one exception, in any thread, the next time that the armed function begins."""

    def __init__(self, noted=lambda: None):
        self.raised = False
        self._noted = noted
        self._step = self._kind = None
        self._lock = threading.Lock()

    def arm(self, step, kind="ValueError"):
        self._step, self._kind, self.raised = step, kind, False

    def _trace(self, frame, event, _):
        if event == "call" and self._step and step_of(frame.f_code) == self._step:
            with self._lock:
                step, self._step = self._step, None
            if step:
                self.raised = True
                self._noted()
                raise KINDS[self._kind]()  # noqa: RSE102 - the values of KINDS are called to make an exception

    def _profile(self, *_):
        """Set the trace function again, since the interpreter removes one that raised an exception."""
        if sys.gettrace() is None:
            sys.settrace(self._trace)

    @contextmanager
    def installed(self):
        """Enable faults in this thread and the threads that it starts."""
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        try:
            yield self
        finally:
            sys.setprofile(None)
            sys.settrace(None)
            threading.setprofile(None)


@contextmanager
def steps():
    """The functions of the package that begin inside this context, in order of their first call."""
    found = {}

    def note(frame, event, _):
        if event == "call" and (step := step_of(frame.f_code)):
            found.setdefault(step)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield found
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def main():
    file = sys.argv.pop(1)
    faults = Faults(Path(f"{file}.raised").touch)

    def arm(*_):
        faults.arm(*Path(file).read_text().split())
        os.remove(file)

    signal.signal(signal.SIGUSR2, arm)
    if os.path.exists(file):
        arm()
    with faults.installed():
        from kosmolua.cli import program

        program()


if __name__ == "__main__":
    main()
