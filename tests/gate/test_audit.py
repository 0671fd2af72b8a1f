"""The audit log has whole lines, is readable only by its owner, has a size limit, and does not have what was sent."""

import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from kosmolua.gate import audit
from kosmolua.gate.audit import KEPT, Audit, Origin
from kosmolua.gate.entry import Entry

ENTRY = Entry("get_account", "default", "read", 1000.5, "allow", "read=allow (default)", "policy", "ok", None, 200)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "deep" / "audit.jsonl")


def writer(path, warnings=None, run="r1", **options):
    return Audit(
        path, Origin(run, "flow.lua", "sha256:ab"), (warnings if warnings is not None else []).append, **options
    )


def test_an_entry_says_who_and_what(path):
    """Each line is one JSON object with the run's facts first; the file is private to its owner."""
    made = writer(path)
    made.write(ENTRY)
    made.close()

    assert 0o600 == stat.S_IMODE(os.stat(path).st_mode)
    assert 0o700 == stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode)
    with open(path) as file:
        (line,) = file
    assert {
        "run": "r1", "script": "flow.lua", "digest": "sha256:ab", "function": "get_account", "account": "default",
        "access": "read", "at": 1000.5, "decision": "allow", "rule": "read=allow (default)", "by": "policy",
        "outcome": "ok", "status": 200,
    } == json.loads(line)  # fmt: skip


def test_a_full_file_is_rotated(path):
    """Some older files are kept in order, and the others are deleted."""
    made = writer(path, max_size=1000)
    for number in range(200):
        made.write(Entry("get_account", "default", "read", float(number)))
    made.close()

    assert {f"audit.jsonl{tail}" for tail in ("", ".lock", *(f".{n + 1}" for n in range(KEPT)))} == set(
        os.listdir(os.path.dirname(path))
    )
    times = [entry["at"] for entry in audit.read(path)]
    assert sorted(times) == times
    assert 199.0 == times[-1]
    assert all(os.stat(f"{path}.{number + 1}").st_size < 1300 for number in range(KEPT))


WRITE_MANY = """
import sys
from kosmolua.gate.audit import Audit, Origin
from kosmolua.gate.entry import Entry
path, run = sys.argv[1:]
made = Audit(path, Origin(run), sys.exit, max_size=20_000)
for number in range(200):
    made.write(Entry("get_account", "default", "read", float(number)))
"""


def test_many_processes_write_whole_lines(path):
    """No line is cut, also during rotation, and none of the kept files is lost."""
    processes = [subprocess.Popen([sys.executable, "-c", WRITE_MANY, path, f"r{n}"]) for n in range(4)]

    assert [0] * 4 == [process.wait(30) for process in processes]
    found = list(audit.read(path))
    for file in (path, *(f"{path}.{number + 1}" for number in range(KEPT))):
        if os.path.exists(file):
            with open(file, "rb") as opened:
                assert all(line.endswith(b"}\n") and json.loads(line) for line in opened)
    for run in range(4):
        times = [entry["at"] for entry in found if entry["run"] == f"r{run}"]
        assert times == sorted(times)
    assert len(found) == 800


def test_many_threads_write_whole_lines(path):
    """The first thread opens the file, which is then open for all threads."""
    warnings = []
    made = writer(path, warnings, max_size=150_000)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(made.write, [ENTRY] * 2000))
    made.close()

    assert [] == warnings
    assert 2000 == len(list(audit.read(path)))


def test_invalid_lines_are_skipped(path):
    """A truncated or foreign line does not hide other lines."""
    made = writer(path)
    made.write(ENTRY)
    made.close()
    with open(path, "ab") as file:
        file.write(b'{"at": 1, "fun\n[]\n{"at": "x"}\n\xff\n')
    made = writer(path)
    made.write(ENTRY)
    made.close()

    assert 2 == len(list(audit.read(path)))


@pytest.mark.parametrize("there", ["directory", "link"])
def test_an_unwritable_log_stops_nothing(path, tmp_path, there):
    """A failing log is reported once, with path and reason. A link is not followed."""
    os.makedirs(os.path.dirname(path))
    if there == "directory":
        os.mkdir(path)
    else:
        (tmp_path / "victim").write_text("keep")
        os.symlink(tmp_path / "victim", path)
    warnings = []
    made = writer(path, warnings)
    made.write(ENTRY)
    made.write(ENTRY)

    assert 1 == len(warnings)
    assert path in warnings[0]
    if there == "link":
        assert "keep" == (tmp_path / "victim").read_text()


def refusal(at, account="default", code="permission_denied", function="create_prediction"):
    return Entry(function, account, "write", at, "deny", "write=deny", "policy", "refused", code)


def test_equal_refusals_are_one_entry(path):
    """The entry has the number of refusals and the times of the first and the last; different refusals have separate
    entries.
    """
    made = writer(path)
    for number in range(12_345):
        made.write(refusal(float(number)))
    made.write(refusal(20_000.0, code="approval_required"))
    made.close()

    with open(path) as file:
        assert len(file.readlines()) < 10
    first, other = audit.merged(audit.read(path))
    assert (12_345, 0.0, 12_344.0) == (first["count"], first["at"], first["last"])
    assert ("approval_required", None) == (other["code"], other.get("count"))


def test_the_first_refusals_are_written_at_once(path):
    """If the process is killed, only the number of further refusals is lost."""
    made = writer(path)
    for number in range(150):
        made.write(refusal(float(number)))

    (entry,) = audit.merged(audit.read(path))
    assert (100, 99.0) == (entry["count"], entry["last"])
    made.close()


def test_a_run_has_a_share_of_the_log(path):
    """Calls beyond the run's share are only counted by outcome; sent writes have a separate share."""
    made = writer(path, share=20_000)
    for number in range(5_000):
        made.write(Entry("get_account", "default", "read", float(number), outcome="ok", status=200))
        made.write(refusal(float(number), account=f"a{number}"))
    made.write(Entry("create_prediction", "default", "write", 6_000.0, outcome="ok", status=201))
    made.close()

    assert os.stat(path).st_size < 40_000
    *recorded, last = audit.read(path)
    entries = audit.merged(audit.read(path))
    (beyond,) = [entry for entry in entries if entry["outcome"] == "unrecorded"]
    assert 10_000 == beyond["count"] + len(entries) - 2
    assert {"ok", "refused"} == set(beyond["outcomes"])
    assert beyond["count"] == sum(beyond["outcomes"].values())
    assert "create_prediction" in [entry["function"] for entry in recorded if entry["outcome"] == "ok"]
    assert "unrecorded" == last["outcome"]


def test_a_long_run_has_a_share_of_each_day(path):
    """Calls of a server that runs for months continue to be recorded."""
    made = writer(path, share=2_000)
    for day in range(3):
        for number in range(100):
            made.write(Entry("get_account", "default", "read", day * 90_000.0 + number, outcome="ok", status=200))
    made.close()

    days = [int(entry["at"] // 90_000) for entry in audit.read(path) if entry["outcome"] == "ok"]
    assert {0, 1, 2} == set(days)


def test_a_run_cannot_displace_entries_of_others(path):
    """Neither refused nor executed calls, of any number of kinds, push out entries of other runs."""
    before = writer(path, run="before")
    before.write(ENTRY)
    before.close()
    flood = writer(path, run="flood")
    for number in range(100_000):
        flood.write(refusal(float(number), account=f"a{number % 1000}"))
        flood.write(Entry("get_account", "default", "read", float(number), outcome="ok", status=200))
        flood.write(Entry("create_prediction", "default", "write", float(number), outcome="error", status=422))
    flood.close()

    assert "before" == next(audit.read(path))["run"]
    assert not os.path.exists(f"{path}.1")
