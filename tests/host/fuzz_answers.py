"""Give a host random and hostile API answers, for every operation and every helper.

    python tests/host/fuzz_answers.py [--answers N] [--seed N]

Whatever a server answers, a call returns data or raises a `KosmoError` whose code does not mean a bug, the script
continues, and its result, its report and tool results can be made. Anything else is a finding, and so is an answer that
takes the host 2 s of CPU time, or a peak of 400 MB of memory.
"""

# ruff: noqa: T201 - figures are printed
import argparse
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter

from hostile_server import HostileServer

from kosmolua.cli import output
from kosmolua.errors import KosmoError
from kosmolua.gate.files import Files
from kosmolua.gate.policy import policy_of
from kosmolua.gate.run import Run
from kosmolua.gate.session import Session
from kosmolua.host import report
from kosmolua.host.result import Result
from kosmolua.mcp import content
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.runtime.limits import Limits
from kosmolua.runtime.prepared import Prepared
from kosmolua.runtime.run import Script
from kosmolua.runtime.run import run as run_script
from kosmolua.services.progress import Progress
from kosmolua.services.services import Services
from kosmolua.settings import config

MOST_CPU = 2.0  # seconds for one answer
MOST_MEMORY = 400_000_000  # bytes of memory
TOKEN = "r8_token-of-the-fuzzer"
HELPERS = """
local api, found = integrations.replicate, {}
local OPTIONS = { timeout = 20, interval = 1 }
local function prediction() return api.get_prediction{ prediction_id = "p" } end
local function taken(items)
  local size = 0
  for item in items do
    size = size + #tostring(item)
    if size > 500 then break end
  end
  return size
end
local helpers = {
  function() return run("a/b", { prompt = "x" }, OPTIONS) end,
  function() return run("a/b:" .. ("5c7d"):rep(16), {}, { wait = false, timeout = 5 }) end,
  function() return run("deployments/a/b", {}, { timeout = 5, validate = false }) end,
  function() return run("a/b", { prompt = "x" }, { cache = "2h", timeout = 5 }) end,
  function() return replicate.wait(replicate.create("a/b", { prompt = "x" }), OPTIONS) end,
  function() return replicate.wait(prediction(), OPTIONS) end,
  function() return replicate.wait({ prediction(), prediction() }, OPTIONS) end,
  function() return replicate.wait(api.get_training{ training_id = "t" }, { kind = "training", timeout = 5 }) end,
  function() return replicate.stream("a/b", { prompt = "x" }).text() end,
  function() return taken(replicate.stream(prediction())) end,
  function() return taken(replicate.each("list_predictions", {}, { limit = 12 })) end,
  function() return taken(replicate.each("list_models", {}, { limit = 12 })) end,
  function() return replicate.download(prediction().output, "out/") end,
  function() return replicate.download(prediction().output, "out/one") end,
  function() return run("a/b", { prompt = "x" }, OPTIONS):save("out/saved") end,
  function() return replicate.cancel_all({ prediction(), "p2" }) end,
  function() return parallel({ 1, 2, 3 }, function() return prediction().id end) end,
  function() return race({ prediction, function() return api.get_account{} end }) end,
  function() return json.encode(prediction()) end,
  function() return api.get_model{ model_owner = "a", model_name = "b" } end,
  function() return api.search{ query = "x" } end,
  function() return api.list_hardware{} end,
}
local results = parallel(args, function(number)
  local ok, value = pcall(helpers[tonumber(number)])
  if not ok then
    local code = type(value) == "table" and value.code or "script_error"
    found[#found + 1] = { code = code, message = tostring(value) }
  end
  return ok and tostring(value) or false
end)
return found
"""
HELPER_COUNT = HELPERS.count("\n  function()")


def peak_memory():
    """The peak memory in bytes. ru_maxrss would start at the parent process's size."""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))


class FindingError(Exception):
    """A violated expectation."""


class Clock:
    """A clock that advances with each sleep, without waiting. It starts at ``began``, in Unix seconds."""

    def __init__(self, began=0.0):
        self._now = began

    def time(self):
        return self._now

    def sleep(self, seconds):
        self._now += seconds


class Doors:
    """The interfaces that get the answers: one session with a real client, on a clock without waits."""

    def __init__(self, server, directory):
        self.tally = Counter()
        self.slowest = 0.0
        self._server = server
        self._directory = directory
        self._lock = threading.Lock()
        self._prepared = Prepared()
        self._client = Client(token=TOKEN, base_url=server.url, clock=Clock())

    def close(self):
        self._prepared.close()
        self._client.close()

    def session(self, script=None):
        """The session that a report requests from its host."""
        policy = policy_of(config.load({}, read="allow", write="allow"))
        files = Files([self._directory], [self._directory], base=self._directory)
        made = Session(
            lambda _: self._client, policy, run=Run("run", script, files=files), lent=True, watcher=Progress(keep=True)
        )
        made.files = files
        return made

    # Calls ----------------------------------------------------------------------------------------------------------

    def call(self, session, operation):
        """Make one call, and process its answer as the interfaces do."""

        def act():
            try:
                data = session.call(operation.name, operation.example).data
            except KosmoError as error:
                self.took(error)
                content.of_error(error, 2000, code=False)
                return
            self.tally["ok"] += 1
            output.to_json(output.plain(data))
            content.of_answer(data, 2000)

        self.timed(operation.name, act)
        self.check(session)

    def took(self, error):
        if error.code == "internal_error":
            raise FindingError(f"{error.message}\n{error.detail}")
        if not error.message or error.code is None:
            raise FindingError(f"an error without words or code: {error!r}")
        self.tally[error.code] += 1

    def check(self, session):
        if session.raised:
            raise session.raised

    def timed(self, what, action):
        began = time.thread_time()
        try:
            return action()
        finally:
            spent = time.thread_time() - began
            self.slowest = max(self.slowest, spent)
            if spent > MOST_CPU:
                raise FindingError(f"{what} took {spent:.1f} s of CPU")

    # Scripts --------------------------------------------------------------------------------------------------------

    def script(self, numbers, isolation):
        """Run concurrent helpers in one script, and make its tool result and its report."""
        session = self.session("helpers")
        services = Services(session.files, self._directory, lambda: session)
        began = time.time()

        def handler(function, account, arguments):
            def act():
                if function.startswith("host."):
                    return services(function, arguments)
                return session.call(function, arguments, account).data

            return self.timed(function, act)

        ended = run_script(
            Script(
                source=HELPERS.encode(),
                name="helpers",
                args=[str(number) for number in numbers],
                functions=[each.names for each in catalogue.OPERATIONS],
            ),
            handler,
            _Nowhere(),
            limits=Limits(cpu=60, time=None),
            isolation=isolation,
            clock=Clock(began),
            child=None if isolation == "none" else self._prepared,
            ending=services.end,
        )
        if ended.error:
            self.took(ended.error)
        for each in ended.results[0] if ended.results else ():
            self.took(KosmoError(str(each["message"]), code=str(each["code"])))
        self.check(session)
        result = Result(
            results=ended.results,
            error=ended.error,
            duration=ended.duration,
            isolation=ended.isolation,
            log=session.log,
            spent=session.budget.spent(),
        )
        pictures = []
        self.timed("the pictures", lambda: content.add_outputs(pictures, ended.results, session.fetch))
        self.timed("the tool's result", lambda: content.of_run(result, 2000, pictures))
        page = report.FinishedRun("helpers", began, began + result.duration, result, session.watcher)
        self.timed("the report", lambda: report.write(os.path.join(self._directory, "report.html"), page, self))


class _Nowhere:
    def write(self, stream, text):
        pass


def fuzz(answers, seed):
    """Process this many answers and return the figures. Raises FindingError for a finding."""
    dice, server = random.Random(seed), HostileServer(seed)
    with tempfile.TemporaryDirectory() as directory:
        os.environ |= {"KOSMO_CACHE_DIR": directory, "KOSMO_STATE_DIR": directory, "KOSMO_CONFIG_DIR": directory}
        doors = Doors(server, directory)
        session, script_share = doors.session(None), 0
        try:
            while server.made < answers:
                for _ in range(200):
                    doors.call(session, dice.choice(catalogue.OPERATIONS))
                session = doors.session(None)
                before = server.made
                doors.script(
                    dice.choices(range(1, HELPER_COUNT + 1), k=24), dice.choice(["standard", "standard", "none"])
                )
                script_share += server.made - before
        except BaseException:
            print(f"seed {seed}, after {server.made} answers; the newest:\n{server.last()}", file=sys.stderr)
            raise
        finally:
            doors.close()
            server.close()
    doors.tally["answers"], doors.tally["answers to scripts"] = server.made, script_share
    return doors


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parsed = parser.parse_args()
    began = time.perf_counter()
    doors = fuzz(parsed.answers, parsed.seed)
    memory = peak_memory()
    print(f"{dict(doors.tally)}")
    print(
        f"slowest answer {doors.slowest:.3f} s of CPU, peak {memory / 1e6:.0f} MB, {time.perf_counter() - began:.0f} s"
    )
    if memory > MOST_MEMORY:
        raise FindingError(f"the host took {memory} bytes of memory")


if __name__ == "__main__":
    main()
