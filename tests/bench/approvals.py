"""Decides many approvals at once, and measures the time until each approved call was sent and its run has ended.

python tests/bench/approvals.py [runs] [parallel] [--count N]

"runs" starts N runs with one call each; "parallel" starts one run that asks for all calls at once. There are two
workers with eight slots each. At the end the script checks that each call was sent exactly once.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE), str(HERE / "worker")]
from fleet import Fleet  # noqa: E402 - after the change of sys.path
from postgres import serving  # noqa: E402
from waiting import wait_until  # noqa: E402

from kosmolua.worker import approvals  # noqa: E402

CREATE = """
local hello = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
local function create(text)
  return integrations.replicate.create_prediction{ version = hello, input = { text = text } }.id
end
"""
SCRIPTS = {
    "runs": CREATE + "return create(args[1])",
    "parallel": CREATE
    + """
local texts = {}
for n = 1, COUNT do texts[n] = "text " .. n end
return #parallel(texts, create, { limit = COUNT })
""",
}


def states(fleet):
    return {state for (state,) in fleet.database.rows("SELECT DISTINCT state FROM runs")}


def cpu_of(workers):
    """CPU seconds used by the workers and by their children that have ended."""
    ticks = 0
    for worker in workers:
        ticks += sum(map(int, Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def measured(fleet, kind, count):
    fleet.fresh()
    source = SCRIPTS[kind].replace("COUNT", str(count))
    fleet.submit(count if kind == "runs" else 1, source, by="ana")
    began = time.monotonic()
    wait_until(lambda: fleet.database.rows("SELECT count(*) FROM approvals") == [(count,)], 300, 0.5)
    wait_until(lambda: states(fleet) == {"waiting"}, 300, 0.5)
    asked, used = time.monotonic(), cpu_of(fleet.workers)
    ids = [each.id for each in approvals.listed(fleet.database, limit=count)]
    command = [sys.executable, "-m", "kosmolua", "approvals", "approve", *ids, "--database", fleet.url, "--json"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    decided = time.monotonic()
    wait_until(lambda: states(fleet) == {"done"}, 300, 0.5)
    ended = time.monotonic()
    sent = Counter(fleet.server.texts.values())
    assert count == len(sent) == fleet.server.count("POST", "/predictions"), sent
    print(
        f"{kind}: {count} asked in {asked - began:.1f} s, decided in {decided - asked:.1f} s, "
        f"sent and ended {ended - asked:.1f} s after the command began; "
        f"{cpu_of(fleet.workers) - used:.1f} s of CPU in the workers; load average {os.getloadavg()[0]:.0f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kinds", nargs="*", choices=[*SCRIPTS, []], metavar="KIND")
    parser.add_argument("--count", type=int, default=1000)
    chosen = parser.parse_args()
    with serving() as server, tempfile.TemporaryDirectory() as directory:
        os.environ["KOSMO_CONFIG_DIR"] = directory
        for kind in chosen.kinds or SCRIPTS:
            with Fleet(server.url, directory, speed=1).serving() as fleet:
                for _ in range(2):
                    fleet.start(write="ask", slots=8, lease=15.0)
                measured(fleet, kind, chosen.count)


if __name__ == "__main__":
    main()
