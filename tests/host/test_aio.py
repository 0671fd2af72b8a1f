"""The asyncio host awaits everything, and cancellation stops its runs and calls."""

import asyncio

import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua import AsyncHost, Function, Host, OptionError


def test_runs_and_calls_are_awaited():
    """More runs and calls can be awaited at once than the loop has threads."""

    async def main():
        async with AsyncHost(emulate=True) as host:
            runs = (host.run(f"sleep(0.2) return {number}") for number in range(20))
            results = await asyncio.gather(*runs)
            account = await host.call("get_account")
            pages = [len(page.data["results"]) async for page in host.pages("list_collections")]
            return [result.value for result in results], account["username"], pages

    values, username, pages = asyncio.run(main())

    assert ([*range(20)], "emulator") == (values, username)
    assert pages


def test_canceling_a_run_stops_it():
    """The cancellation waits until the run has ended, so that no part of the run continues."""

    async def main():
        ready, loop = asyncio.Event(), asyncio.get_running_loop()
        async with AsyncHost(emulate=True, on_output=lambda *_: loop.call_soon_threadsafe(ready.set)) as host:
            handle = await host.start("print('ready') while true do end")
            task = asyncio.create_task(handle.result())
            await asyncio.wait_for(ready.wait(), 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return handle.state

    assert "stopped" == asyncio.run(main())


def test_a_canceled_call_is_not_retried(server):
    """A call that waits for its retry sends nothing more after it was canceled."""
    server.default = Answer(429, b"{}", {"Retry-After": "30"})

    async def main():
        async with AsyncHost(url=server.url, token="r8_x", read="allow") as host:
            task = asyncio.create_task(host.call("get_account"))
            await asyncio.to_thread(wait_until, lambda: server.requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)

    asyncio.run(main())

    assert 1 == len(server.requests)


def test_a_timeout_does_not_stop_the_run():
    """A timeout leaves the run running, as with handles in threads."""

    async def main():
        async with AsyncHost(emulate=True) as host:
            handle = await host.start("sleep(0.5) return 1")
            with pytest.raises(TimeoutError):
                await handle.result(0.05)
            return handle.state, (await handle.result(60)).value

    assert ("running", 1) == asyncio.run(main())


def test_events_are_iterated():
    """Events can be iterated while the run is running."""

    async def main():
        async with AsyncHost(emulate=True) as host:
            handle = await host.start("print('a') integrations.replicate.get_account{}")
            return [event.kind async for event in handle.events()]

    assert ["begun", "output", "call", "ended"] == asyncio.run(main())


def test_prompters_and_functions_may_be_async():
    """Async prompters and functions run on the loop that uses the host."""
    asked, called = [], []

    class Prompter:
        async def ask(self, question):
            asked.append((question.function, asyncio.get_running_loop()))
            await asyncio.sleep(0)
            return "once"

    async def notify(text: str):
        called.append((text, asyncio.get_running_loop()))
        return text.upper()

    async def main():
        functions = {"notify": notify, "look": Function(call=notify, access="read")}
        async with AsyncHost(emulate=True, write="ask", prompter=Prompter(), functions=functions) as host:
            source = "return custom.notify{ text = 'a' }, custom.look{ text = 'b' }"
            return (await host.run(source)).results, asyncio.get_running_loop()

    results, loop = asyncio.run(main())

    assert ["A", "B"] == results
    assert [("custom.notify", loop)] == asked
    assert [("a", loop), ("b", loop)] == called


def test_a_question_is_canceled_with_its_run():
    """When a run is canceled, the coroutine of its question is canceled."""
    canceled = []
    asked = asyncio.Event()

    class Prompter:
        async def ask(self, _question):
            asked.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                canceled.append(True)
                raise

    async def main():
        async with AsyncHost(emulate=True, write="ask", prompter=Prompter()) as host:
            source = "integrations.replicate.create_prediction{ version = 'v', input = {} }"
            task = asyncio.create_task(host.run(source))
            await asyncio.wait_for(asked.wait(), 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)
            await asyncio.sleep(0)

    asyncio.run(main())

    assert [True] == canceled


def test_a_plain_host_refuses_async_functions():
    """A plain host refuses async functions, because they would create a coroutine that is never run."""

    async def notify():
        pass

    with pytest.raises(OptionError, match="is async or a generator"):
        Host(functions={"notify": notify})
