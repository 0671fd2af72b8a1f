"""`AsyncHost`: the host for asyncio. Canceling a task also stops the call or run that the task waits for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

from msgspec.structs import replace

from kosmolua.errors import ScriptError
from kosmolua.host.checks import is_deferred
from kosmolua.host.handle import Handle
from kosmolua.host.host import Host
from kosmolua.host.options import HostOptions
from kosmolua.host.run_options import StartOptions
from kosmolua.runtime.stop import Stop

if TYPE_CHECKING:
    from kosmolua.gate.prompt import Answer, Question
    from kosmolua.gate.run import Reply
    from kosmolua.host.events import Event
    from kosmolua.host.result import Result

MAX_CALLS = 64  # the maximum number of concurrent direct calls
MAX_STARTS = 4  # the maximum number of runs that start at the same time; starting a run opens its journal
_T = TypeVar("_T")


class AsyncHost:
    """An async version of `kosmolua.Host`. It takes the same options; use it in an ``async with`` block.

    The prompter's `ask` and the host's functions may be async: they then run on the event loop that made the host. Each
    run has its own thread, outside the loop's executor, and no thread while its script only waits.
    """

    def __init__(self, **options: Any) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        functions = {name: self._function(each) for name, each in (options.pop("functions", None) or {}).items()}
        prompter = options.pop("prompter", None)
        asks = _AsyncPrompter(prompter, self._submit) if is_deferred(getattr(prompter, "ask", None)) else prompter
        self._host = Host.of(HostOptions(**options, functions=functions, prompter=asks))
        self._threads = ThreadPoolExecutor(MAX_CALLS, thread_name_prefix="kosmolua-call")
        self._starts = ThreadPoolExecutor(MAX_STARTS, thread_name_prefix="kosmolua-start")

    # Calling ------------------------------------------------------------------------------------------------------

    async def call(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None
    ) -> Any:
        """Call one function, and return its answer. Raises a `KosmoError`."""
        return (await self.request(function, arguments, account=account)).data

    async def request(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None
    ) -> Reply:
        """Like `call`, and return the call's log entry too. If canceled, the request is not retried."""
        stop = Stop()
        action = partial(self._host.request, function, arguments, account=account, stop=stop)
        return await self._in_thread(action, lambda: stop.set(_canceled()))

    async def pages(
        self, function: str, arguments: Mapping[str, Any] | None = None, *, account: str | None = None
    ) -> AsyncIterator[Reply]:
        """The pages of a list, from the requested page to the last."""
        found = self._host.pages(function, arguments, account=account)
        while (page := await self._in_thread(partial(next, found, None))) is not None:
            yield page

    # Running ------------------------------------------------------------------------------------------------------

    async def run(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        name: str = "script",
        journal: str | None = None,
        fresh: bool = False,
        **options: Unpack[StartOptions],
    ) -> Result:
        """Run Lua text to its end, like `Host.run`. If canceled, stop the run and wait for its end."""
        handle = await self.start(source, args, name=name, journal=journal, fresh=fresh, **options)
        return await handle.result()

    async def start(
        self,
        source: str | bytes,
        args: Sequence[str] | Mapping[str, Any] = (),
        *,
        name: str = "script",
        journal: str | None = None,
        fresh: bool = False,
        **options: Unpack[StartOptions],
    ) -> AsyncHandle:
        """Start a run, and return its handle."""
        begin = partial(self._host.start, source, args, name=name, journal=journal, fresh=fresh, **options)
        return AsyncHandle(await self._in_thread(begin, threads=self._starts))

    async def close(self) -> None:
        """Stop all runs, and release all processes, threads, connections and descriptors."""
        await self._in_thread(self._host.close)
        for each in (self._threads, self._starts):
            each.shutdown(wait=False)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------------------------

    async def _in_thread(
        self,
        action: Callable[[], _T],
        cancel: Callable[[], None] | None = None,
        *,
        threads: ThreadPoolExecutor | None = None,
    ) -> _T:
        """The result of an action. If this task is canceled, ``cancel`` it and wait for its end."""
        self._loop = self._loop or asyncio.get_running_loop()
        future = asyncio.get_running_loop().run_in_executor(threads or self._threads, copy_context().run, action)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if cancel:
                cancel()
                await asyncio.wait([future])
                future.exception()
            raise

    def _submit(self, made: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Run a coroutine on the loop, from another thread."""
        if self._loop is None:
            made.close()
            raise RuntimeError("use AsyncHost in an `async with`")
        return asyncio.run_coroutine_threadsafe(made, self._loop)

    def _function(self, given: Any) -> Any:
        from kosmolua.gate.custom import Function

        function = given if isinstance(given, Function) else None
        call = function.call if function else given
        if not is_deferred(call):
            return given
        made = _Waited(call, self._submit)
        return replace(function, call=made) if function else made


class AsyncHandle:
    """A started run whose methods are awaited."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.id = handle.id
        self.tags = handle.tags

    def __repr__(self) -> str:
        return f"<AsyncHandle {self.id} {self.state}>"

    @property
    def state(self) -> str:
        return self._handle.state

    def stop(self, reason: str = "the run was stopped") -> None:
        self._handle.stop(reason)

    async def result(self, timeout: float | None = None) -> Result:  # noqa: ASYNC109 - the same parameter as in Handle
        """Wait for the end. Raises a TimeoutError after that many seconds; the run continues. If canceled, stop the run
        and wait for its end.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._ended()
        except asyncio.CancelledError:
            self._handle.stop("canceled")
            await self._ended()
            raise
        return self._handle.result()

    async def events(self) -> AsyncIterator[Event]:
        """All events from the first one, as they happen, until the run has ended."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(changed.set)

        seen, over = 0, False
        with self._handle.told(tell):
            while not over:
                changed.clear()
                found, seen, over = self._handle.since(seen)
                for event in found:
                    yield event
                if not found and not over:
                    await changed.wait()
                over = over and not found

    async def _ended(self) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(done.set)

        self._handle.when_done(tell)
        await done.wait()


class _AsyncPrompter:
    """Asks an async prompter, from the thread of a call."""

    def __init__(self, prompter: Any, submit: Callable[[Any], Future[Any]]) -> None:
        self._prompter = prompter
        self._submit = submit
        self._asking: dict[int, Future[Any]] = {}

    def ask(self, question: Question) -> Answer | None:
        future = self._asking[id(question)] = self._submit(self._prompter.ask(question))
        try:
            found: Answer | None = future.result()
            return found
        finally:
            self._asking.pop(id(question), None)

    def withdraw(self, question: Question) -> None:
        """Cancel the question, and call the prompter's `withdraw` if it has one."""
        future = self._asking.get(id(question))
        if future:
            future.cancel()
        withdraw = getattr(self._prompter, "withdraw", None)
        if callable(withdraw):
            withdraw(question)


class _Waited:
    """A blocking version of an async function, with the same signature."""

    def __init__(self, function: Callable[..., Awaitable[Any]], submit: Callable[[Any], Future[Any]]) -> None:
        self._function = function
        self._submit = submit
        self.__wrapped__ = function
        self.__doc__ = function.__doc__
        self.__annotations__ = getattr(function, "__annotations__", {})

    def __call__(self, *args: Any, **given: Any) -> Any:
        return self._submit(self._function(*args, **given)).result()


def _canceled() -> ScriptError:
    return ScriptError("canceled", code="interrupted")
