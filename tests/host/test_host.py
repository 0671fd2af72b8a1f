"""The Python API has results, callbacks, stopping, and cleanup."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from recording_server import Answer
from waiting import wait_until

from kosmolua import (
    Caps,
    CredentialError,
    Host,
    KosmoError,
    LimitError,
    Limits,
    PermissionDeniedError,
    ScriptError,
    UsageError,
)
from kosmolua.gate import audit
from kosmolua.gate.prompt import Scripted
from kosmolua.runtime.stop import Stop

CREATE = "return integrations.replicate.create_prediction{ version = 'v', input = {} }"


@pytest.fixture(params=["standard", "none"])
def isolation(request):
    return request.param


def held():
    """The descriptors, children and threads of this process."""
    descriptors = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the descriptor that read the list
            descriptors.add((name, os.readlink(f"/proc/self/fd/{name}")))
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return {*descriptors, *file.read().split(), *threading.enumerate()}


# Calling and running ----------------------------------------------------------------------------------------------


def test_a_call_gives_plain_data():
    """Under each of its names a function returns the API's answer or raises the API's error."""
    with Host(emulate=True, isolation="none") as host:
        assert "emulator" == host.call("get_account")["username"]
        assert "emulator" == host.call("replicate.get_account", {})["username"]
        with pytest.raises(KosmoError, match="get_prediction: 404") as raised:
            host.call("get_prediction", {"prediction_id": "no-such"})
        with pytest.raises(UsageError, match="did you mean get_account"):
            host.call("get_acount")

    assert ("not_found", 404) == (raised.value.code, raised.value.status)


def test_a_request_returns_its_decision(live):
    """The entry of a call has the deciding rule and the outcome."""
    entry = live(isolation="none").request("get_account").entry

    assert ("allow", "read=allow (default)", "ok", 200) == (entry.decision, entry.rule, entry.outcome, entry.status)


def test_pages_are_followed_to_the_last(server, live):
    """Each page is one call; a repeated cursor is an error."""
    there = f'{{"results": [1], "next": "{server.url}/collections?cursor=c"}}'.encode()
    server.answers.extend([Answer(body=there), Answer(body=b'{"results": [2], "next": null}')])
    host = live(isolation="none")

    assert [[1], [2]] == [reply.data["results"] for reply in host.pages("list_collections")]
    server.default = Answer(body=there)
    with pytest.raises(KosmoError, match="list_collections: the pages form a cycle"):
        list(host.pages("list_collections"))


def test_the_result_of_a_run(isolation):
    """The result has values, output, the log of calls, and the spending."""
    with Host(emulate=True, isolation=isolation) as host:
        result = host.run(
            "print('hello', args[1]) log('note') return integrations.replicate.get_account{}.username, { 1 }", ["é"]
        )

    assert (None, "hello\té\n", ["emulator", [1]]) == (result.error, result.output, result.results)
    assert "emulator" == result.value == result.raise_for_error().value
    assert ["get_account"] == [entry.function for entry in result.log]
    assert (1, 0) == (result.spent["calls"], result.spent["writes"])
    assert isolation == result.isolation["mode"]


def test_the_error_is_in_the_result(isolation):
    """A script's error names the file and line, and is raised on request."""
    with Host(emulate=True, isolation=isolation) as host:
        result = host.run("\nerror('boom')", name="flow.lua")

    assert ("script_error", "flow.lua:2", None) == (result.error.code, result.error.where, result.value)
    with pytest.raises(KosmoError, match="boom"):
        result.raise_for_error()


def test_a_script_loads_modules_next_to_it(tmp_path):
    """A script can load modules next to it if that directory is open; a missing module file is reported."""
    (tmp_path / "flow.lua").write_text("return require('words').hello, args[1]")
    (tmp_path / "words.lua").write_text("return { hello = 'hello' }")

    with Host(emulate=True, allow_read=[str(tmp_path)]) as host:
        assert ["hello", "x"] == host.run_file(tmp_path / "flow.lua", ["x"]).results
        with pytest.raises(UsageError, match=r"cannot read the script .*nosuch\.lua"):
            host.run_file(tmp_path / "nosuch.lua")


def test_calls_and_runs_see_the_same_emulator():
    """The program's own calls see what a script created."""
    with Host(emulate=True) as host:
        made = host.run(
            "return integrations.replicate.create_model_prediction"
            "{ model_owner = 'black-forest-labs', model_name = 'flux-schnell', input = { prompt = 'a' } }.id"
        )

        assert made.value == host.call("get_prediction", {"prediction_id": made.value})["id"]


def test_many_runs_at_once(isolation):
    """Runs on many threads have separate output, logs and budgets."""
    source = "for _ = 1, tonumber(args[1]) do integrations.replicate.get_account{} end print(args[1]) return args[1]"
    with Host(emulate=True, isolation=isolation, caps=Caps(calls=8)) as host, ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: host.run(source, [str(n)]), range(1, 9)))

    assert [str(n) for n in range(1, 9)] == [result.value for result in results]
    assert [f"{n}\n" for n in range(1, 9)] == [result.output for result in results]
    assert list(range(1, 9)) == [len(result.log) for result in results]


def test_asyncio_is_not_blocked():
    """A run on a thread leaves the event loop free."""

    async def main(host):
        ticks = 0
        runs = [asyncio.create_task(asyncio.to_thread(host.run, f"sleep(0.2) return {n}")) for n in range(3)]
        while (await asyncio.wait(runs, timeout=0.01))[1]:
            ticks += 1
        return [run.result().value for run in runs], ticks

    with Host(emulate=True) as host:
        values, ticks = asyncio.run(main(host))

    assert [0, 1, 2] == values
    assert ticks >= 5


# Permissions -----------------------------------------------------------------------------------------------------


def test_nobody_is_asked_without_a_prompter(live, server):
    """Without a prompter a write is refused, because by default it needs approval."""
    host = live()

    assert "approval_required" == host.run(CREATE).error.code
    with pytest.raises(PermissionDeniedError, match="needs approval"):
        host.call("create_prediction", {"version": "v", "input": {}})
    assert [] == server.requests


def test_a_prompter_is_asked(live, server):
    """An approval for the run applies to that run only."""
    prompter = Scripted(["run", "no"])
    host = live(prompter=prompter)

    assert None is host.run(f"{CREATE[7:]} {CREATE}").error
    assert "permission_denied" == host.run(CREATE).error.code
    assert (2, 2) == (len(server.requests), len(prompter.asked))


def test_changed_settings_apply_to_the_next_run(live, tmp_path):
    """A changed configuration applies to the host's next run."""
    host = live(write=None)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[replicate.permissions]\nwrite = "allow"\n')
    assert None is host.run(CREATE).error

    (tmp_path / "config" / "config.toml").write_text('[replicate.permissions]\nwrite = "deny"\n')
    assert "permission_denied" == host.run(CREATE).error.code


def test_an_allow_below_the_settings(live, server, tmp_path):
    """The allow applies if the settings have no verdict; functions that can never be allowed are known."""
    host = live(write="allow", yielding=True, isolation="none")
    assert "create_prediction" in host.callable()
    host.run(CREATE).raise_for_error()

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text('[replicate.permissions]\nwrite = "deny"\n')
    assert "create_prediction" not in host.callable()
    assert "get_account" in host.callable()
    assert "permission_denied" == host.run(CREATE).error.code
    assert 1 == len(server.requests)


def test_a_caller_gets_no_secret(live, server):
    """Direct calls for a caller are recorded with the caller's name, and do not return the signing key."""
    asked = Scripted(["no"])
    with pytest.raises(PermissionDeniedError):
        live(caller="agent", prompter=asked, isolation="none").call("get_default_webhook_secret")

    assert ["agent"] == [question.script for question in asked.asked]
    assert [] == server.requests


def test_caps_bound_each_run_and_all_calls_together():
    """Each run has a full budget, and the program's direct calls share a separate budget."""
    twice = "for _ = 1, 2 do integrations.replicate.get_account{} end"
    with Host(emulate=True, caps=Caps(calls=2)) as host:
        assert [None, None] == [host.run(twice).error for _ in range(2)]
        assert "limit_reached" == host.run(f"{twice} {twice}").error.code
        for _ in range(2):
            host.call("get_account")
        with pytest.raises(LimitError, match="its budget of 2 calls"):
            host.call("get_account")


def test_nothing_is_sent_in_a_dry_run(live, server):
    """In a dry run a call returns its request without the token."""
    request = live(dry_run=True, isolation="none").call("get_account")

    assert ("GET", "Bearer [hidden]") == (request["method"], request["headers"]["Authorization"])
    assert [] == server.requests


def test_a_token_is_sent_for_its_account_and_shown_nowhere(live, server):
    """The token is sent only for the host's account, and appears in no printable text."""
    host = live()
    result = host.run("return pcall(integrations.replicate.get_account, {})")

    assert "Bearer r8_marked_token" == server.requests[0].headers["authorization"]
    assert "marked" not in repr(host) + repr(result) + repr(vars(host))
    with pytest.raises(KosmoError, match="unknown account 'work'"):
        host.call("get_account", account="work")


def test_without_a_token_the_stored_one_is_used(server):
    """The first call looks for the token where the command line does."""
    with Host(url=server.url, isolation="none") as host, pytest.raises(CredentialError, match="no API token"):
        host.call("get_account")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"read": "alow"}, "read: expected allow, ask or deny, got 'alow'"),
        ({"write": "yes"}, "write: expected allow, ask or deny, got 'yes'"),
        ({"isolation": "full"}, "isolation: expected standard, strict or none, got 'full'"),
        ({"allow_read": ["nosuch"]}, "no such directory: 'nosuch'"),
    ],
)
def test_invalid_options_of_a_host(options, words):
    """An invalid option of a host is reported before anything runs."""
    with pytest.raises(UsageError, match=words):
        Host(**options)


def test_arguments_are_strings():
    """The arguments of a script are a list of strings; other values, and a single string, are refused."""
    with Host(emulate=True, isolation="none") as host:
        for wrong in ("text", [1]):
            with pytest.raises(UsageError, match="args: expected a list of strings"):
                host.run("return 1", wrong)


# Events -----------------------------------------------------------------------------------------------------------


def test_callbacks_get_output_calls_and_retries(server, live):
    """Output arrives as text with whole characters, each call with its entry, and each retry with its reason."""
    told = []
    server.answers.extend([Answer(503), Answer()])
    host = live(
        on_output=lambda stream, text: told.append((stream, text)),
        on_call=lambda entry: told.append(("call", entry.function, entry.outcome)),
        on_retry=lambda reason, _: told.append(("retry", reason)),
    )

    result = host.run("print('é') log('note') integrations.replicate.get_account{}")

    assert [
        ("stdout", "é\n"),
        ("stderr", "note\n"),
        ("retry", "the API answered 503"),
        ("call", "get_account", "ok"),
    ] == told
    assert "" == result.output


class Witness:
    """A watcher that records what it gets."""

    def __init__(self):
        self.told = []

    def begins(self, entry, operation, given):
        self.told.append(("begins", operation.name))

    def ended(self, entry, operation, given, data, error):
        self.told.append((operation.name, given, type(data).__name__, error and error.code))

    def followed(self, url, event, data):
        self.told.append((event, bool(url)))

    def downloading(self, path, received, total):
        self.told.append((path, received, total))


def test_what_a_watcher_gets(tmp_path):
    """A watcher gets the begin and end of each call with its data, and the content of streams and downloads."""
    witness = Witness()
    with Host(emulate=True, isolation="none", allow_write=[str(tmp_path)]) as host:
        source = """
          local api = integrations.replicate
          pcall(api.get_prediction, { prediction_id = "no" })
          pcall(api.get_prediction, {})
          local painted = api.create_model_prediction {
            model_owner = "black-forest-labs", model_name = "flux-schnell", prefer = "wait=10",
            input = { prompt = "dusk", width = 16, height = 16 },
          }
          local file = replicate.download(painted.output[1], args[1])
          replicate.stream("meta/meta-llama-3-8b-instruct", { prompt = "rain", max_tokens = 2 }):text()
          return file.size
        """
        result = host.script(source, [str(tmp_path / "a.png")], watch=lambda: witness).result()

    told, size = witness.told, result.value
    assert [
        ("begins", "get_prediction"),
        ("get_prediction", {"prediction_id": "no"}, "NoneType", "not_found"),
        ("get_prediction", {}, "NoneType", "invalid_arguments"),
        ("begins", "create_model_prediction"),
    ] == told[:4]
    assert ("create_model_prediction", "dict", None) == (told[4][0], *told[4][2:])
    assert "dusk" == told[4][1]["input"]["prompt"]
    assert [("begins", "download"), ("download", "NoneType")] == [told[5], (told[6][0], told[6][2])]
    assert [(str(tmp_path / "a.png"), size, size), (str(tmp_path / "a.png"), -1, None)] == told[7:9]
    assert ("begins", "stream") in told
    assert ("done", True) in told


def test_a_notice_is_reported_once(live, tmp_path):
    """A notice about the configuration is not repeated with every run."""
    (tmp_path / "config").mkdir()
    (tmp_path / ".kosmo").mkdir()
    (tmp_path / ".kosmo" / "config.toml").write_text("[replicate.permissions]\nwrite = 'allow'\n")
    notices = []
    host = live(on_notice=notices.append)

    for _ in range(2):
        host.run("integrations.replicate.get_account{}")

    assert 'ignored replicate.permissions.write = "allow" (looser than ask): the file is not trusted' in notices[0]
    assert 2 == len(notices)


def test_output_is_cut_at_its_limit(isolation):
    """The output up to the limit is kept, and the run ends with the limit's name."""
    with Host(emulate=True, isolation=isolation, limits=Limits(output=10)) as host:
        result = host.run("print('12345') print('67890')")

    assert ("12345\n6789", "limit_reached") == (result.output, result.error.code)


def test_a_callback_that_fails_ends_the_run():
    """The callback's exception reaches the caller of the run; the outcome is kept."""

    def fail(*_):
        raise ValueError("mine")

    with Host(emulate=True, on_output=fail) as host:
        run = host.script("print(1)")
        with pytest.raises(ValueError, match="mine"):
            run.result()

    assert "the run was aborted: ValueError: mine" == run.outcome.error.message


def raising(*_):
    raise ValueError("mine")


@pytest.mark.parametrize("isolation", ["standard", "none"])
def test_a_failing_callback_keeps_the_answer(isolation):
    """The script gets the answer that was paid for; the exception is raised once the result has that answer."""
    with Host(emulate=True, isolation=isolation, on_call=raising) as host:
        run = host.script(
            "return replicate.create('black-forest-labs/flux-schnell', { prompt = 'a' }, { validate = false }).id"
        )
        with pytest.raises(ValueError, match="mine"):
            run.result()

    assert (None, ["ok"]) == (run.outcome.error, [entry.outcome for entry in run.outcome.log])
    assert [run.outcome.value] == [identifier for _, identifier, _ in run.outcome.running]


def test_nothing_is_sent_after_a_callback_failed():
    """The callback may supervise the run, so after its failure the next call ends the run."""
    with Host(emulate=True, on_call=raising) as host:
        run = host.script("for i = 1, 3 do pcall(integrations.replicate.get_account, {}) end")
        with pytest.raises(ValueError, match="mine"):
            run.result()

    assert (1, "interrupted") == (len(run.outcome.log), run.outcome.error.code)


def test_a_failing_callback_of_a_direct_call():
    """The call returns its answer; the callback's exception becomes a notice."""
    notices = []
    with Host(emulate=True, on_call=raising, on_notice=notices.append) as host:
        account = host.call("get_account")

    assert "username" in account
    assert ["a callback raised ValueError: mine"] == notices


# Stopping ---------------------------------------------------------------------------------------------------------


def stopped(host, source, ready):
    """The result of a run that is stopped once it is ready, and the seconds until it ended."""
    run = host.script(source)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run.result)
        wait_until(ready)
        began = time.monotonic()
        run.stop()
        return future.result(timeout=20), time.monotonic() - began


@pytest.mark.parametrize(
    "source",
    ["print(1) while true do end", "print(1) sleep(60)", "print(1) parallel({ 60, 60 }, sleep)"],
    ids=["computing", "sleeping", "in a task"],
)
def test_a_run_is_stopped_from_another_thread(source):
    """An isolated script ends at once, in the middle of any operation."""
    ready = threading.Event()
    with Host(emulate=True, on_output=lambda *_: ready.set()) as host:
        result, seconds = stopped(host, source, ready.is_set)

    assert ("interrupted", "the run was stopped") == (result.error.code, result.error.message)
    assert seconds < 5  # instead of the 60 or 30 seconds without a stop


def test_a_waiting_run_in_this_process_is_stopped():
    """Without a child process, a sleeping script wakes up and ends."""
    ready = threading.Event()
    with Host(emulate=True, isolation="none", on_output=lambda *_: ready.set()) as host:
        result, seconds = stopped(host, "print(1) sleep(60)", ready.is_set)

    assert "interrupted" == result.error.code
    assert seconds < 5  # instead of the 60 or 30 seconds without a stop


def test_a_stopped_run_is_not_sent_again(server, live):
    """A create that waits for its retry is not sent after a stop."""
    server.default = Answer(429, headers={"Retry-After": "30"})
    host = live(write="allow")

    result, seconds = stopped(host, CREATE, lambda: server.requests)

    assert ("interrupted", 1) == (result.error.code, len(server.requests))
    assert seconds < 5  # instead of the 60 or 30 seconds without a stop
    assert [("create_prediction", "interrupted")] == [(entry.function, entry.code) for entry in result.log]


def test_a_stopped_call_is_not_sent_again(server, live):
    """A direct call that waits for its retry ends when its stop is set."""
    server.default = Answer(429, headers={"Retry-After": "30"})
    host, stop = live(write="allow", isolation="none"), Stop()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(host.request, "create_prediction", {"version": "v", "input": {}}, stop=stop)
        wait_until(lambda: server.requests)
        stop.set(ScriptError("enough", code="interrupted"))
        with pytest.raises(ScriptError, match="enough"):
            future.result(timeout=20)

    assert 1 == len(server.requests)


def test_a_run_stopped_before_its_start(isolation):
    """The run ends without a call, and no run starts twice."""
    with Host(emulate=True, isolation=isolation) as host:
        run = host.script("integrations.replicate.get_account{}")
        run.stop("no longer wanted")
        result = run.result()
        with pytest.raises(UsageError, match="has already begun"):
            run.result()

    assert ("no longer wanted", []) == (result.error.message, result.log)


def test_ctrl_c_reaches_the_program():
    """The caller gets KeyboardInterrupt; the outcome is kept, and started jobs are canceled."""
    source = """
      integrations.replicate.create_model_prediction
        { model_owner = 'minimax', model_name = 'video-01', input = { prompt = 'a' } }
      print(1) sleep(60)
    """
    interrupt = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    with Host(emulate=True, cancel_on_exit=True, on_output=lambda *_: interrupt.start()) as host:
        run = host.script(source)
        with pytest.raises(KeyboardInterrupt):
            run.result()

    assert "interrupted" == run.outcome.error.code
    assert ["create_model_prediction", "cancel_prediction"] == [entry.function for entry in run.outcome.log]
    assert [] == run.outcome.running


# Closing ----------------------------------------------------------------------------------------------------------


def test_nothing_is_left_over(server, live):
    """After calls and successful, failed and stopped runs, there are no more children, threads or descriptors than
    before.
    """
    before = held()
    host = live()
    host.call("get_account")
    for source in ("return 1", "error('x')", "integrations.replicate.get_account{}"):
        host.run(source)
    stopped(host, "sleep(60)", lambda: True)
    host.close()

    wait_until(lambda: held() <= before)  # a process of an earlier test may have ended in the meantime


def test_closing_ends_active_runs():
    """Closing the host stops active runs; later runs are refused."""
    ready = threading.Event()
    host = Host(emulate=True, on_output=lambda *_: ready.set())
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(host.run, "print(1) while true do end")
        assert ready.wait(20)
        host.close()
        result = future.result(timeout=20)

    assert "the host was closed" == result.error.message
    for late in (lambda: host.run("return 1"), lambda: host.call("get_account")):
        with pytest.raises(UsageError, match="the host is closed"):
            late()


def test_a_host_is_closed_twice():
    """The second close has no effect."""
    host = Host(emulate=True)
    host.run("return 1")
    host.close()
    host.close()


def test_a_script_cannot_reach_files_of_the_host(live, server, tmp_path, isolation):
    """A script cannot read the configuration, its journal or the caller's files, whatever directory is open."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "credentials.json").write_text("r8_OfTheOwner")
    host = live(write="allow", allow_read=["."], allow_write=["."], isolation=isolation)
    reasons = {"config/credentials.json": "kosmolua's configuration directory", "run.journal": "the journal"}
    for path, why in reasons.items():
        for attempt in (f"download('data:,x', '{path}')", f"integrations.replicate.create_file{{ path = '{path}' }}"):
            result = host.run(attempt, journal="./run.journal")
            os.unlink("run.journal")
            assert isinstance(result.error, ScriptError)
            assert ("permission_denied", True) == (result.error.code, why in result.error.message)
    own = [("page.html", "the page of this run")]
    result = host.script("download('data:,x', 'page.html')", own=own).result()

    assert "'page.html' is not available to scripts: it is the page of this run" in result.error.message
    assert [] == server.requests


def test_a_run_cannot_erase_the_log(live, tmp_path, monkeypatch, isolation):
    """Endless refusals become one entry with a count, also if the run is stopped."""
    monkeypatch.setenv("KOSMO_STATE_DIR", str(tmp_path / "state"))
    host = live(read="deny", isolation=isolation)
    host.run("for _ = 1, 5000 do pcall(replicate.get_account) end")
    stop = Stop()
    threading.Timer(0.5, stop.set, [ScriptError("stopped")]).start()
    host.script("while true do pcall(replicate.get_account) sleep(0) end", stop=stop).result()
    with suppress(KosmoError):
        host.call("get_account")
    host.close()

    first, second, direct = audit.merged(audit.read(audit.file_of(os.environ)))
    assert (5000, True) == (first["count"], second["count"] > 10)
    assert (None, None) == (direct.get("count"), direct.get("script"))
