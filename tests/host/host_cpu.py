"""Measure what a script that uses 0.1 s of CPU can make its host compute, for every service and helper.

    python tests/host/host_cpu.py

Each attempt is made once, and then repeatedly until the script has used up its 0.1 s. A row has the CPU time of the
script, that of the host for one attempt and for all, and the end of the run; the limit is 1 s. `test_host_cpu.py` runs
a quick part of this in CI.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from kosmolua import Host, Limits

HERE = Path(__file__).parent
LIMIT = 1.0  # seconds of CPU time
OWN = 0.1  # seconds of CPU time that the script itself uses
LOOP = "{setup}\nlocal began = os.clock()\nrepeat pcall(function() {attempt} end) until os.clock() - began > {own}"
LIST = "local big = {} for i = 1, 90000 do big[i] = 'word-' .. (i + 5000) end"
EMPTY = "local big = {} for i = 1, 90000 do big[i] = json.object {} end"
SEVENS = "local big = {} for i = 1, 90000 do big[i] = 7 end"
NUMBERS = "local big = {} for i = 1, 90000 do big[i] = 1 end"
# name: (its worst input, what is prepared, the attempt)
ATTEMPTS = {
    "call, refused": ("90,000 values, the last of them invalid", NUMBERS + " big[90000] = 0/0",
                      "replicate.create_prediction { version = 'v', input = { x = big } }"),
    "call, sent": ("90,000 values", NUMBERS, "replicate.create_prediction { version = 'v', input = { x = big } }"),
    "call, text": ("a reference of 2 MB", "local text = ('a'):rep(2e6)",
                   "replicate.create_prediction { version = text, input = {} }"),
    "call, unknown": ("an unknown name", "", "replicate.create_predicition_of_another_kind {}"),
    "call, answer": ("200,000 empty objects", "", "replicate.get_account {}"),
    "call, answer of text": ("16 MB of text", "", "replicate.list_hardware {}"),
    "each": ("a page link of 6,000 characters", "", "for _ in each('list_collections') do end"),
    "each, long link": ("a page link of 8 MB", "", "for _ in each('list_trainings') do end"),
    "require": ("a missing module", "", "require('a.b.c.d.e.f.g')"),
    "require, long": ("a name of 1 MB", "local name = ('a'):rep(1e6)", "require(name)"),
    "docs.search": ("16 unknown words", "local words = ('qzxv jkwq bvnm '):rep(20)", "docs.search(words)"),
    "docs.search, long": ("a query of 8 MB", "local words = ('qzxv '):rep(1.6e6)", "docs.search(words)"),
    "docs.read": ("an unknown page", "local name = ('predictoin'):rep(10)", "docs.read(name)"),
    "docs.list": ("every page", "", "docs.list()"),
    "plan, enum": ("an enum of 100,000, a list of 90,000", LIST, "run('a/enum', { x = big })"),
    "plan, anyOf": ("15 levels of anyOf, a list of 90,000", SEVENS, "run('a/nested', { x = big })"),
    "plan, members": ("4,000 members, 90,000 objects", EMPTY, "run('a/members', { x = big })"),
    "plan, reference": ("a reference of 2 MB", "local text = 'a/' .. ('a'):rep(2e6)", "run(text, {})"),
    "recall, keep": ("90,000 values, 10 pages of predictions", NUMBERS,
                     "run('a/b', { x = big }, { cache = '1h', validate = false })"),
    "follow": ("an event of 4 MB", "",
               "stream { id = 'p', status = 'starting', urls = { stream = BASE .. '/stream' } }:text()"),
    "follow, URL": ("a URL of 8 MB", "local url = 'https://replicate.delivery/' .. ('a'):rep(8e6)",
                    "for _ in stream { id = 'p', status = 'starting', urls = { stream = url } } do end"),
    "download": ("8 MB", "", "download(BASE .. '/file', 'out/file')"),
    "download, data URL": ("1,000,000 percent signs", "local url = 'data:,' .. ('%41'):rep(1e6)",
                           "download(url, 'out/x')"),
    "download, data URL, long": ("16 MB of percent signs", "local url = 'data:,' .. ('%41'):rep(5.5e6)",
                                 "download(url, 'out/x')"),
    "download, data URL, many": ("100 bytes", "", "download('data:,hello', 'out/x')"),
    "download, URL": ("a URL of 8 MB", "local url = 'https://replicate.delivery/' .. ('%41'):rep(2.6e6)",
                      "download(url, 'out/x')"),
    "file": ("100 files of 250 kB", "local files = {} for i = 1, 100 do files[i] = file('in/small') end",
             "replicate.create_prediction { version = 'v', input = { x = files } }"),
    "file, large": ("100 files of 50 MB", "local files = {} for i = 1, 100 do files[i] = file('in/large') end",
                    "replicate.create_prediction { version = 'v', input = { x = files } }"),
    "file, cache": ("100 files of 50 MB", "local files = {} for i = 1, 100 do files[i] = file('in/large') end",
                    "run('a/b', { x = files }, { cache = '1h', validate = false })"),
    "upload": ("10 MB", "local text = ('a'):rep(1e7)", "replicate.create_file { content = text }"),
    "print": ("one character", "", "print('')"),
    "print, long": ("100 kB", "local text = ('a'):rep(1e5)", "print(text)"),
    "log": ("one character", "", "log('')"),
    "dump": ("a large table", "local t = {} for i = 1, 1000 do t[i] = { i } end", "dump(t)"),
    "error": ("a text of 8 MB", "local text = ('a'):rep(8e6)", "wait(text)"),
    "sleep, time": ("nothing", "", "sleep(0) time()"),
    "spawn": ("1,000 tasks that call", "local t = {} for i = 1, 1000 do t[i] = i end",
              "parallel(t, function() replicate.get_prediction { prediction_id = 'p' } end, { limit = 1000 })"),
    "wait": ("a finished prediction", "", "wait(replicate.get_prediction { prediction_id = 'p' })"),
}  # fmt: skip


@contextmanager
def api():
    """The URL of a hostile API in another process, whose CPU time is not counted."""
    server = subprocess.Popen([sys.executable, HERE / "hostile_api.py"], stdout=subprocess.PIPE, text=True)
    try:
        yield server.stdout.readline().strip()
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


@contextmanager
def ground():
    """A working directory with files to read and a writable directory."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for directory in ("in", "out", "home"):
            Path(directory).mkdir()
        Path("in/small").write_bytes(os.urandom(250_000))
        Path("in/large").write_bytes(os.urandom(50_000_000))
        os.environ["HOME"], home = name, os.environ["HOME"]
        try:
            yield
        finally:
            os.environ["HOME"] = home
            os.chdir(before)


def host_for(url):
    limits = Limits(cpu=LIMIT, time=60.0)
    return Host(
        token="token-of-tests",
        url=url,
        limits=limits,
        read="allow",
        write="allow",
        allow_read=["."],
        allow_write=["out"],
    )


def measured(host, url, setup, attempt, own=OWN):
    """The result of the run, and the CPU seconds of this process for the run."""
    setup = f"local BASE = '{url.removesuffix('/v1')}'\n{setup}"
    source = LOOP.format(setup=setup, attempt=attempt, own=own)
    before = time.process_time()
    result = host.run(source)
    return result, time.process_time() - before


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args().names or list(ATTEMPTS)
    print(f"{'attempt':<26}{'worst input':<40}{'script':>8}{'once':>8}{'0.1 s':>8}{'process':>9}  ended by")
    with api() as url, ground(), host_for(url) as host:
        measured(host, url, "", "replicate.list_hardware {}", 0)  # load imports and open connections first
        for name in chosen:
            what, setup, attempt = ATTEMPTS[name]
            once, _ = measured(host, url, setup, attempt, 0)
            result, process = measured(host, url, setup, attempt)
            ended = result.error.message if result.error else "itself"
            figures = f"{result.cpu:8.2f}{once.host_cpu:8.2f}{result.host_cpu:8.2f}{process:9.2f}"
            print(f"{name:<26}{what:<40}{figures}  {ended[:60]}", flush=True)


if __name__ == "__main__":
    main()
