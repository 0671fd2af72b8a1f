"""What the console costs: CPU time of its process and of PostgreSQL for each page, and the size of the page in bytes.

python tests/bench/console.py [--runs N] [--requests N]
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent.parent
sys.path[:0] = [str(HERE)]
from postgres import serving  # noqa: E402 - after the change of sys.path
from waiting import wait_until  # noqa: E402

from kosmolua.worker.database import Database  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
RUNS = """
INSERT INTO runs (id, key, digest, script, source, args, account, emulated, caps, began, seed, state, ended, error)
SELECT substr(md5(n::text), 1, 12), 'order-' || n, '',
  '/srv/flows/' || (ARRAY['covers', 'captions', 'upscale'])[1 + n %% 3] || '.lua',
  convert_to(repeat('-- a line of the script' || chr(10), 80), 'UTF8'), '\\x90', 'default', false, '',
  extract(epoch FROM now()) - 60 * n, 1, (ARRAY['done', 'done', 'done', 'failed', 'waiting'])[1 + n %% 5],
  now() - make_interval(secs => 60 * n - 40), CASE WHEN n %% 5 = 3 THEN 'script_error: no such size' END
FROM generate_series(1, %s) n
"""
OUTCOMES = """
INSERT INTO outcomes (run, task, request, function, account, digest, arguments, at, seen, model, state, value, ended,
  sent)
SELECT id, 0, n, 'create_model_prediction', '', '', '\\x80', began + n, 0, 'a/b', 'ok',
  '\\xda0258'::bytea || convert_to(repeat('x', 600), 'UTF8'), began + n + 1, true FROM runs, generate_series(1, 4) n
"""
CHARGES = """
INSERT INTO charges (at, account, run, kind, held, spent)
SELECT began + n, 'default', id, 'prediction', 3000000, 3000000 FROM runs, generate_series(1, 4) n
"""
WAITS = """
INSERT INTO waits (run, task, request, kind, job, account) SELECT id, 0, 1, 'prediction', 'j', 'default' FROM runs
"""
PAGES = ("/", "/?state=waiting", "/?q=captions", "/?before=1e11:x", "/approvals", "/schedules", "/budgets", "/workers")


def cpu_of(pids):
    """CPU seconds used by the processes."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except FileNotFoundError:  # the process of a connection that was closed
            continue
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def backends(database):
    return [pid for (pid,) in database.rows("SELECT pid FROM pg_stat_activity WHERE application_name = 'kosmo'")]


def measure(url, path, process, database, requests):
    pids = backends(database)
    for _ in range(5):
        body = urllib.request.urlopen(url + path).read()
    before = cpu_of([process.pid]), cpu_of(pids)
    for _ in range(requests):
        body = urllib.request.urlopen(url + path).read()
    after = cpu_of([process.pid]), cpu_of(pids)
    own, other = (1000 * (late - early) / requests for early, late in zip(before, after, strict=True))
    print(f"{path:20} {own:6.1f} ms CPU  {other:6.1f} ms of PostgreSQL  {len(body) / 1000:6.1f} kB")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    with serving() as server, tempfile.TemporaryDirectory() as directory:
        database = Database(server.url, prepare=True)
        database.rows(RUNS, (given.runs,))
        for text in (OUTCOMES, CHARGES, WAITS, "ANALYZE"):
            database.rows(text)
        log = Path(directory) / "log"
        command = [sys.executable, "-m", "kosmolua", "serve", "--port", "0", "--database", server.url]
        with log.open("wb") as file:
            process = subprocess.Popen(command, stderr=file)
        wait_until(lambda: log.read_text().count("\n") > 1)
        url = log.read_text().partition("the console is at ")[2].split()[0]
        ((run,),) = database.rows("SELECT id FROM runs LIMIT 1")
        for path in (*PAGES, f"/runs/{run}"):
            measure(url, path, process, database, given.requests)
        process.send_signal(signal.SIGTERM)
        process.wait()
        database.close()


if __name__ == "__main__":
    main()
