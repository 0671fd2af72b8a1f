"""After a run or host is stopped nothing is sent, even if a question is answered later."""

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tmux import Screen
from waiting import let_pass, scaled, wait_until

from kosmolua import KosmoError, Limits, ScriptError
from kosmolua.runtime.stop import Stop

CREATE = "integrations.replicate.create_prediction{ version = 'v', input = {} }"
ARGUMENTS = {"version": "v", "input": {}}
SOON = 3.0  # seconds, far below every waiting time in these tests


class Slow:
    """A prompter that waits until released, then says yes."""

    def __init__(self):
        self.asked, self.go, self.answered = threading.Event(), threading.Event(), threading.Event()
        self.withdrawn = []

    def ask(self, question):
        self.asked.set()
        self.go.wait(30)
        self.answered.set()
        return "once"

    def withdraw(self, question):
        self.withdrawn.append(question.function)


@pytest.fixture
def slow():
    made = Slow()
    yield made
    made.go.set()


def answer_late(slow):
    """Say yes now, and leave time for a request to arrive."""
    slow.go.set()
    assert slow.answered.wait(10)
    wait_until(lambda: not [each for each in threading.enumerate() if each.name.startswith("kosmolua-question")])


@pytest.mark.parametrize("isolation", ["standard", "none"])
@pytest.mark.parametrize("how", ["stop", "close", "handed in"])
def test_a_stop_withdraws_the_question(how, isolation, live, server, slow):
    """The run ends before the answer, the prompter is notified, and a late yes sends nothing."""
    handed = Stop()
    host = live(isolation=isolation, prompter=slow)
    run = host.script(f"return {CREATE}", stop=handed)
    ends = {
        "stop": run.stop,
        "close": host.close,
        "handed in": lambda: handed.set(ScriptError("x", code="interrupted")),
    }
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run.result)
        assert slow.asked.wait(10)
        ends[how]()
        error = result.result(timeout=scaled(SOON)).error
    answer_late(slow)

    assert "interrupted" == error.code
    assert ["create_prediction"] == slow.withdrawn
    assert [] == server.requests
    assert [("refused", "interrupted")] == [(entry.outcome, entry.code) for entry in run.outcome.log]


@pytest.mark.parametrize("isolation", ["standard", "none"])
def test_a_time_limit_withdraws_the_question(isolation, live, server, slow):
    """The run ends at its limit, not when the question is answered."""
    host = live(isolation=isolation, prompter=slow, limits=Limits(time=0.4))
    began = time.monotonic()
    result = host.run(f"return {CREATE}")
    took = time.monotonic() - began
    answer_late(slow)

    assert ("limit_reached", "time") == (result.error.code, result.error.detail["limit"])
    assert took < scaled(SOON)
    assert [] == server.requests
    assert ["create_prediction"] == slow.withdrawn


@pytest.mark.parametrize(
    ("rest", "limits", "code"),
    [
        ("while true do end", Limits(cpu=0.3), "limit_reached"),
        ("error('boom')", Limits(), "script_error"),
        ("while true do print(('x'):rep(1000)) end", Limits(output=10_000), "limit_reached"),
    ],
    ids=["cpu", "error", "output"],
)
def test_every_end_of_a_run_withdraws_its_questions(rest, limits, code, live, server, slow):
    """A run's questions are also withdrawn when one task fails while another asks."""
    host = live(prompter=slow, limits=limits)
    source = f"""
      parallel({{ 1, 2 }}, function(n)
        if n == 1 then return {CREATE} end
        sleep(0.2)
        {rest}
      end)
    """
    began = time.monotonic()
    result = host.run(source)
    took = time.monotonic() - began
    assert slow.asked.is_set()
    answer_late(slow)

    assert code == result.error.code
    assert took < scaled(SOON)
    assert [] == server.requests


@pytest.mark.parametrize("how", ["stop", "close"])
def test_a_direct_call_is_stopped_too(how, live, server, slow):
    """A direct call ends with its own stop or when its host closes."""
    host, stop = live(isolation="none", prompter=slow), Stop()
    ends = {"stop": lambda: stop.set(ScriptError("enough", code="interrupted")), "close": host.close}
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(host.request, "create_prediction", ARGUMENTS, stop=stop if how == "stop" else None)
        assert slow.asked.wait(10)
        ends[how]()
        with pytest.raises(KosmoError) as raised:
            future.result(timeout=scaled(SOON))
    answer_late(slow)

    assert "interrupted" == raised.value.code
    assert [] == server.requests


def test_a_stop_waits_only_for_requests_that_are_being_sent():
    """After the stop returns no thread starts to send; the stop waits for requests that are being sent."""
    stop, sent, began = Stop(), [], threading.Barrier(9)

    def send():
        began.wait()
        while True:
            try:
                with stop.sending:
                    let_pass(0.0001)
                    sent.append(time.perf_counter())
            except ScriptError:
                return

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    began.wait()
    wait_until(lambda: len(sent) > 100)
    stop.set(ScriptError("enough", code="interrupted"))
    returned = time.perf_counter()
    for thread in threads:
        thread.join(10)

    assert max(sent) <= returned


def test_many_calls_at_once_end_with_a_stop(live, server):
    """Under load, every request that arrives after the stop was already being sent before it."""
    host = live(isolation="none", write="allow")
    stop = Stop()

    def calls():
        while True:
            try:
                host.request("create_prediction", ARGUMENTS, stop=stop)
            except ScriptError:
                return

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(calls) for _ in range(8)]
        wait_until(lambda: len(server.requests) > 50)
        stop.set(ScriptError("enough", code="interrupted"))
        for future in futures:
            future.result(timeout=10)
    reached = len(server.requests)
    with pytest.raises(ScriptError):
        host.request("create_prediction", ARGUMENTS, stop=stop)

    assert reached == len(server.requests)


def test_a_prompter_that_fails_to_withdraw(live, server, slow):
    """The prompter's exception is logged, and the run has ended."""
    slow.withdraw = lambda question: 1 / 0
    host = live(prompter=slow, limits=Limits(time=0.3))

    assert "limit_reached" == host.run(f"return {CREATE}").error.code
    answer_late(slow)
    assert [] == server.requests


def test_a_withdrawn_question_is_asked_again_on_resume(live, server, tmp_path):
    """The question is not in the journal; the resumed run asks it again, and sends the call once."""
    first, second = Slow(), Slow()
    second.go.set()
    source = f"return {CREATE}.id"
    host = live(prompter=first)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(host.run, source, journal=str(tmp_path / "j"))
        assert first.asked.wait(10)
        host.close()
        assert "interrupted" == future.result(timeout=scaled(SOON)).error.code
    answer_late(first)
    result = live(prompter=second).run(source, journal=str(tmp_path / "j"))

    assert None is result.error
    assert second.asked.is_set()
    assert 1 == len(server.requests)


def test_ctrl_c_at_the_question(tmp_path):
    """Ctrl-C at a question on a terminal ends the run at once."""
    (tmp_path / "x.lua").write_text("run('meta/meta-llama-3-8b-instruct', { prompt = 'x' })")
    screen = Screen(tmp_path, "lua", "--write", "ask", "--emulate", str(tmp_path / "x.lua"), prompt="[N]o")
    try:
        screen.press("C-c")

        assert screen.ended(seconds=scaled(SOON))
    finally:
        screen.close()


# Closing from a callback or handler ------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["standard", "none"])
@pytest.mark.parametrize("where", ["on_output", "on_call", "ask"])
def test_a_host_is_closed_in_its_own_callback(where, isolation, live, server):
    """The callback's run ends when the callback returns."""
    took = []

    def close(*_):
        began = time.monotonic()
        host.close()
        took.append(time.monotonic() - began)
        return "once"

    class Closing:
        ask = staticmethod(close)

    given = {"prompter": Closing()} if where == "ask" else {where: close}
    host = live(isolation=isolation, read="ask" if where == "ask" else None, **given)
    began = time.monotonic()
    result = host.run("print(1) integrations.replicate.get_account{} print(2) sleep(60)")

    assert "interrupted" == result.error.code
    wait_until(lambda: took)
    assert took[0] < scaled(SOON)
    assert time.monotonic() - began < scaled(SOON)


@pytest.mark.parametrize("isolation", ["standard", "none"])
@pytest.mark.parametrize("source", ["sleep(60)", "while true do end", f"pcall(function() {CREATE} end) sleep(60)"])
def test_a_host_is_closed_in_a_signal_handler(source, isolation, live, slow):
    """A SIGTERM handler closes the host while the main thread runs a script, and the run ends."""
    host = live(isolation=isolation, prompter=slow)
    took = []

    def close(*_):
        began = time.monotonic()
        host.close()
        took.append(time.monotonic() - began)

    before = signal.signal(signal.SIGTERM, close)
    try:
        timer = threading.Timer(0.5, signal.pthread_kill, (threading.main_thread().ident, signal.SIGTERM))
        timer.start()
        began = time.monotonic()
        result = host.run(source)
    finally:
        signal.signal(signal.SIGTERM, before)
        timer.cancel()

    assert ("interrupted", "the host was closed") == (result.error.code, result.error.message)
    assert took[0] < scaled(SOON)
    assert time.monotonic() - began < scaled(SOON)
