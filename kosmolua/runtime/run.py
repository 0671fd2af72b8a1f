"""Runs one script from source to result, in a child or in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from kosmolua.errors import ExitError, KosmoError, LimitError, ScriptError, UsageError
from kosmolua.runtime import descriptors, frames, marshal
from kosmolua.runtime.confine import LAYERS
from kosmolua.runtime.frames import Clock, Handler, Output, Start
from kosmolua.runtime.isolate import Child
from kosmolua.runtime.limits import Limits, reached
from kosmolua.runtime.meter import Meter
from kosmolua.runtime.port import Parked, Port
from kosmolua.runtime.resting import Pause, Resting, carried_out
from kosmolua.runtime.stop import Stop
from kosmolua.runtime.watchdog import Watchdog, processor_seconds

if TYPE_CHECKING:
    from kosmolua.runtime.parking import Parking, Watch
    from kosmolua.runtime.prepared import Prepared
    from kosmolua.runtime.resting import Steps
    from kosmolua.runtime.tape import Journal

Isolation = Literal["standard", "strict", "none"]
MAX_SOURCE = 8 * 1024 * 1024


class Script(Struct, frozen=True, kw_only=True):
    """What to run: Lua source, its name in error messages, its arguments, and the functions it can name.

    ``named`` are named arguments, which replace ``args``. ``custom`` are the full names of the host's own functions,
    such as "custom.notify".
    """

    source: bytes
    name: str
    args: Sequence[str] = ()
    provider: str = "replicate"
    functions: Sequence[tuple[str, ...]] = ()
    accounts: list[str] = []
    env: dict[str, str] = {}
    custom: Sequence[str] = ()
    named: dict[str, Any] | None = None


class Result(Struct, frozen=True, kw_only=True):
    """The outcome of a run. ``results`` are the returned values; ``memory`` is Lua's memory at the end, in bytes;
    ``cpu`` (of a child), ``host_cpu`` (of this process, for the run) and ``duration`` are in seconds; ``isolation`` is
    the result of `isolation_of`.
    """

    results: list[Any] = []
    error: KosmoError | None = None
    memory: int | None = None
    cpu: float | None = None
    host_cpu: float = 0.0
    duration: float
    engine: str | None = None
    isolation: dict[str, Any]


def run(script: Script, handler: Handler, output: Output, **options: Any) -> Result:
    """Carry out all `steps` in this thread."""
    return carried_out(steps(script, handler, output, **options))


def steps(  # noqa: PLR0913 - options of a run, each with a default
    script: Script,
    handler: Handler,
    output: Output,
    *,
    limits: Limits | None = None,
    isolation: Isolation = "standard",
    clock: Clock | None = None,
    child: Child | Prepared | None = None,
    stop: Stop | None = None,
    lane: Callable[[str], str] | None = None,
    ending: Callable[[], None] | None = None,
    waits: Callable[[float], bool] | None = None,
    journal: Journal[Any] | None = None,
    meter: Meter | None = None,
    python: str | None = None,
    cache: str | None = None,
    watch: Watch | None = None,
    parking: Parking | None = None,
    rests: bool = False,
) -> Steps[Result]:
    """Run a script to its end. ``child`` is a child started for this run only, or a prepared process that forks one;
    ``python`` and ``cache`` are the same as in `Child`. ``stop`` ends the run from another thread; ``lane`` is the same
    as in `Port`; ``ending`` is called when the script has ended, before waiting for its remaining calls; ``waits`` is
    the same as in `Port.close`. Recorded requests are answered from the ``journal``. The ``meter`` adds this process's
    CPU time to the script's. With ``watch`` and ``parking`` (`kosmolua.runtime.parking`), a journaled run waits without
    a child. If it ``rests``, the run pauses while its script only waits. Raises KeyboardInterrupt, and exceptions of
    handler and output other than `KosmoError`.
    """
    limits, stop, meter = limits or Limits(), stop or Stop(), meter or Meter()
    began, values = time.perf_counter(), list[Any]()
    parking = _parking(parking, journal, keeps=limits.time is not None or isolation == "none")
    parts = (handler, output, clock, limits, lane, journal, meter, watch if journal else None, parking)
    parted = _Parts(
        lambda: Port(*parts), lambda: _child(limits, isolation, child, python, cache), _given(child, isolation)
    )
    error: KosmoError | None = ScriptError("the run was interrupted", code="interrupted")
    try:
        start = _start(script, journal)
        start.cpu = limits.cpu if isolation == "strict" else None  # Lua checks the clock itself, and reports the line
        while (state := parted.serve(start, limits, stop, meter, rests=rests)) != "ended":
            if state == "rests":
                yield from parted.resting(stop)
                continue
            if not parking or not (yield from parking.waits(parted.port, stop)):
                raise ScriptError("the run is parked", code="interrupted")
            parted.renew(waits)
        values, error = _outcome(parted.port, limits)
    except KosmoError as failure:
        error = failure
    finally:
        parted.close()
        if error:
            stop.set(error)  # cancels requests that wait to be sent
        if ending:
            ending()
        parted.port.close(waits)
        stop.set(ScriptError("the run is over", code="interrupted"))
    return _result(parted, values, error, meter, time.perf_counter() - began, isolation)


def _parking(parking: Parking | None, journal: Journal[Any] | None, *, keeps: bool) -> Parking | None:
    """How the run parks. A run that ``keeps`` its process parks only for decisions, and only if another process or a
    later command continues it.
    """
    if parking is None or journal is None or (keeps and not parking.can_leave):
        return None
    parking.only_asks = keeps
    return parking


def _result(
    parted: _Parts, values: list[Any], error: KosmoError | None, meter: Meter, duration: float, isolation: Isolation
) -> Result:
    done = parted.port.done
    return Result(
        results=values,
        error=error,
        memory=int(done.memory) if done else None,
        cpu=parted.cpu,
        host_cpu=meter.seconds,
        duration=duration,
        engine=done.engine if done else None,
        isolation=isolation_of(isolation, parted.child),
    )


class _Parts:
    """The port and the child of a run. Each part of the run, between its waits without a child, has a new port and
    child.
    """

    def __init__(self, port: Callable[[], Port], child: Callable[[], Child | None], given: Child | None) -> None:
        self.port = port()
        self.child = given
        self._earlier = 0.0  # CPU seconds of earlier children
        self._new_port = port
        self._new_child = child
        self._watchdog: Watchdog | None = None  # the child of a script that has begun

    def serve(
        self, start: Start, limits: Limits, stop: Stop, meter: Meter, *, rests: bool
    ) -> Literal["ended", "parked", "rests"]:
        """Begin or continue the script, until it ends, parks or rests."""
        port, begun = self.port, self._watchdog is not None
        child = self.child = self.child or self._new_child()
        watchdog = self._watchdog = self._watchdog or Watchdog(limits, port, child, stop=stop, meter=meter)
        if child:
            port.spent = partial(processor_seconds, child.pid)
            child.rests = rests and child.outlives_thread
        try:
            with descriptors.explained(), meter.working(), stop.running(port, child), watchdog:
                if child and begun:
                    child.resume(port)
                else:
                    _serve(start, port, limits, child)
        except Resting:
            return "rests"
        except Parked:
            self.close()
            return "parked"
        except BaseException:
            self.close()
            raise
        self.close()
        return "ended"

    def resting(self, stop: Stop) -> Steps[None]:
        """Pause until the script can continue."""
        watchdog = self._watchdog
        made = Pause(self.child.signals if self.child else (), watchdog.look if watchdog else None)
        until = [self.port.rests_until(), watchdog.deadline if watchdog else None]
        made.until = min((each for each in until if each is not None), default=None)
        with stop.on_set(made.wake):
            yield made

    def renew(self, waits: Callable[[float], bool] | None) -> None:
        """Begin the next part."""
        self.port.close(waits)
        self._earlier = self.cpu or 0.0
        self.port, self.child, self._watchdog = self._new_port(), None, None

    def close(self) -> None:
        if self.child:
            self.child.close()

    @property
    def cpu(self) -> float | None:
        """CPU seconds of all children that have ended."""
        return self._earlier + self.child.cpu_seconds if self.child else self._earlier or None


def _given(child: Child | Prepared | None, isolation: Isolation) -> Child | None:
    """The given child, if any. Raises a ValueError if it has another isolation mode."""
    own = child if isinstance(child, Child) else None
    if own and own.mode != isolation:
        raise ValueError(f"the child was made for {own.mode} isolation, not {isolation}")
    return own


def _child(
    limits: Limits, isolation: Isolation, prepared: Child | Prepared | None, python: str | None, cache: str | None
) -> Child | None:
    """A new child, or None if the script runs in this process."""
    if isolation == "none":
        return None
    with descriptors.explained():
        forking = None if isinstance(prepared, Child) else prepared
        return Child(limits, isolation, prepared=forking, python=python, cache=cache)


def isolation_of(mode: Isolation, child: Child | None = None) -> dict[str, Any]:
    """``{mode, layers, missing}``: the sandbox layers that were applied, and those unavailable on this machine.

    ``lowered``, if present, has the inherited resource limits that are lower than the run's: ``cpu`` in seconds,
    ``address_space`` in bytes.
    """
    layers = child.layers if child else []
    missing = [name for name in LAYERS if name not in layers] if layers else []
    below = {"lowered": child.lowered} if child and child.lowered else {}
    return {"mode": mode, "layers": layers, "missing": missing, **below}


def _serve(start: Start, port: Port, limits: Limits, child: Child | None) -> None:
    if child:
        child.run(marshal.encode(start), port)
    else:
        from kosmolua.runtime import inline

        inline.run(start, port, limits)


def _start(script: Script, journal: Journal[Any] | None) -> Start:
    source = script.source.removeprefix(b"\xef\xbb\xbf")
    if source.startswith(b"#"):
        source = b"--" + source  # a shebang line is dropped, but line numbers stay the same
    if source.startswith(b"\x1b"):
        raise UsageError(f"{script.name} is bytecode, not Lua text", hint="run the source file it was compiled from")
    if len(source) > MAX_SOURCE:
        raise UsageError(f"{script.name} is {len(source)} bytes long; the maximum is {MAX_SOURCE}")
    return Start(
        source=source,
        name=os.fsencode(script.name),
        args=[os.fsencode(argument) for argument in script.args],
        provider=script.provider,
        functions=list(script.functions),
        accounts=script.accounts,
        custom=list(script.custom),
        named=script.named,
        journal=journal.start() if journal else None,
        env={name: os.fsencode(value) for name, value in script.env.items()},
    )


def _outcome(port: Port, limits: Limits) -> tuple[list[Any], KosmoError | None]:
    if port.done is None:
        raise ScriptError("the script process ended without a result", code="script_crashed")
    if port.done.ok and port.done.status:
        return [], ExitError(port.done.status)
    if port.done.ok:
        return frames.results(port.done), None
    return [], _with_limit(frames.error(port.done), limits)


def _with_limit(error: KosmoError, limits: Limits) -> KosmoError:
    """The error itself, or the full `LimitError` if the script reports that a limit ended it."""
    if error.code != "limit_reached" or isinstance(error, LimitError):
        return error
    name = "cpu" if error.message.startswith("cpu") else "memory"
    return reached(name, limits, getattr(error, "where", None))
