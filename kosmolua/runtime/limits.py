"""Limits of a run, and the errors for reaching them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kosmolua.errors import LimitError, OptionError

if TYPE_CHECKING:
    from typing import Self

MAX_FRAME = 64 * 1024 * 1024  # the maximum bytes of one message between script and host
_MOST_SECONDS, _MOST_BYTES = 1e9, 2**60  # the largest seconds and bytes that timers and resource limits accept


class _Bounds(NamedTuple):
    cpu: float | None
    memory: int | None
    output: int | None
    time: float | None
    silence: float | None


class Limits(_Bounds):
    """Limits of one run. ``cpu`` (CPU time) and ``time`` (wall-clock time) are in seconds, ``memory`` (Lua's) and
    ``output`` in bytes.

    None removes a limit. There is no wall limit by default: waiting for a prediction may take an hour. ``silence`` is
    how many seconds the child may be unresponsive while it is expected to act. Raises an `OptionError` for a limit of
    the wrong type or value.
    """

    __slots__ = ()

    def __new__(
        cls,
        cpu: float | None = 30.0,
        memory: int | None = 128 * 1024 * 1024,
        output: int | None = 10 * 1024 * 1024,
        time: float | None = None,
        silence: float | None = 10.0,
    ) -> Self:
        for name, seconds in (("cpu", cpu), ("time", time), ("silence", silence)):
            if seconds is not None and not (_is_number(seconds, float) and 0 < seconds <= _MOST_SECONDS):
                raise OptionError.of(name, f"seconds above 0 and up to {_MOST_SECONDS:g}, or None", seconds)
        for name, size, least in (("memory", memory, 1), ("output", output, 0)):
            if size is not None and not (_is_number(size, int) and least <= size <= _MOST_BYTES):
                raise OptionError.of(name, f"bytes from {least} to 2**60, or None", size)
        return super().__new__(cls, cpu, memory, output, time, silence)


def _is_number(value: object, kind: type) -> bool:
    return isinstance(value, (int, kind)) and not isinstance(value, bool)


def _seconds(value: float | None) -> str:
    return f"{value:g} s"


def size(value: float | None) -> str:
    """A number of bytes for display: in MiB if it is a whole number of MiB."""
    mebibytes = (value or 0) / (1024 * 1024)
    return f"{mebibytes:g} MiB" if mebibytes == int(mebibytes) else f"{int(value or 0)} bytes"


_NAMES = {
    "cpu": ("CPU time", "--cpu-limit SECONDS", _seconds),
    "memory": ("memory", "--memory-limit BYTES", size),
    "output": ("output", "--output-limit BYTES", size),
    "time": ("time", "--time-limit SECONDS", _seconds),
}


# Lua cannot check limits during a call of C code.
_LINE = "; the line is unknown because one call, such as string.rep or string.find, used up the time"


def shown(name: str, limits: Limits | None = None) -> str:
    """A limit for display, such as "128 MiB"; by default the value in `Limits()`."""
    value = getattr(limits or Limits(), name)
    return "none" if value is None else _NAMES[name][2](value)


def reached(name: str, limits: Limits, where: str | None = None) -> LimitError:
    """The error for reaching a limit: its name and value, how to raise it, and the line in the script."""
    error = LimitError(
        f"the script reached its {_NAMES[name][0]} limit of {shown(name, limits)}",
        hint=f"raise it with {_NAMES[name][1]}{_LINE if name == 'cpu' and where is None else ''}",
        detail={"limit": name, "value": getattr(limits, name)},
    )
    error.where = where
    return error


def fixed(name: str, message: str, hint: str, value: float) -> LimitError:
    """The error for a limit that no option can raise: it protects the host."""
    return LimitError(message, hint=hint, detail={"limit": name, "value": value})


def silent(limits: Limits) -> LimitError:
    """The error for an unresponsive child; the script is not the cause."""
    return LimitError(
        f"the script process was unresponsive for {limits.silence:g} s",
        hint="check whether another program stopped it, and run the script again",
        detail={"limit": "silence", "value": limits.silence},
    )
