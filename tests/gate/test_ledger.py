"""Budgets that outlive a run are never exceeded by any number of processes, including killed ones, and are renewed each
period.
"""

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest
from counting_server import CountingServer
from hypothesis import given, settings
from hypothesis import strategies as st

from kosmolua.errors import ConfigurationError
from kosmolua.gate.ledger import Charge, Ledger, Origin, file_of
from kosmolua.gate.periods import bounds, shown
from kosmolua.settings.config import Allowance

SPENDER = Path(__file__).parent / "spender.py"
FULL = "KOSMOLUA_FULL" in os.environ
PROCESSES, TIMES = (8, 500) if FULL else (4, 25)
DAY = Allowance(name="daily", period="day", cost=1.0)
NOON = datetime(2026, 11, 30, 12, tzinfo=ZoneInfo("UTC")).timestamp()


class Clock:
    def __init__(self, now=NOON):
        self.now = now

    def __call__(self):
        return self.now


@pytest.fixture
def ledger(tmp_path):
    opened = []

    def make(clock=None, name="ledger.sqlite"):
        made = Ledger(str(tmp_path / "state" / name), clock or Clock())
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.close()


def total(ledger, budget=DAY):
    return ledger.totals([budget])[0]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "reserve", "settle", "keep", "release", "unpriced", "name"]),
        st.integers(0, 400),  # thousandths of the budget's unit
        st.integers(0, 30),
        st.sampled_from(["default", "work"]),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_spent_and_reserved_never_exceed_a_cap(tmp_path_factory, steps):
    """At every commit, for any order of reserving, settling and releasing, every budget stays within its cap."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    ledger, clock = Ledger(str(path), Clock()), Clock()
    budgets = [DAY, Allowance(name="work", period="month", cost=0.7, account="work")]
    held = {}
    for step, thousandths, index, account in steps:
        amount = Decimal(thousandths) / 1000
        mine = [each for each in budgets if each.account in (None, account)]
        charge = list(held)[index % len(held)] if held else None
        if step in ("reserve", "unpriced"):
            found = ledger.reserve(mine, amount if step == "reserve" else None, Charge(Origin("r"), account))
            if found.charge:
                held[found.charge] = amount if step == "reserve" else Decimal(0)
        elif charge and step == "settle":
            ledger.settle(charge, held.pop(charge) * Decimal("0.5"))
        elif charge and step == "keep":
            ledger.settle(charge, None)
            held.pop(charge)
        elif charge and step == "release":
            ledger.release(charge)
            held.pop(charge)
        elif charge:
            ledger.name(charge, f"p{charge}")
        for budget, now in zip(budgets, ledger.totals(budgets), strict=True):
            assert now.spent + now.reserved <= Decimal(repr(budget.cost))
            assert now.reserved >= 0
            assert now.spent >= 0
    assert sum(held.values()) == ledger.totals([DAY])[0].reserved
    clock.now += 1
    ledger.close()


def test_a_budget_can_be_spent_exactly(ledger):
    """Ten tenths equal one, because amounts are whole billionths."""
    made = ledger()
    for _ in range(10):
        assert made.reserve([DAY], Decimal("0.1"), Charge(Origin(), "default")).charge

    refused = made.reserve([DAY], Decimal("0.000000001"), Charge(Origin(), "default"))
    assert (None, ["daily"]) == (refused.charge, [each.budget.name for each in refused.refused])
    assert Decimal(1) == total(made).reserved


def test_a_charge_is_reserved_in_all_budgets_or_none(ledger):
    """A charge is reserved in all budgets, or in none of them."""
    made, small = ledger(), Allowance(name="small", period="week", cost=0.05)
    refused = made.reserve([DAY, small], Decimal("0.1"), Charge(Origin(), "default"))

    assert ["small"] == [each.budget.name for each in refused.refused]
    assert (Decimal(0), Decimal(0)) == (total(made).reserved, total(made, small).reserved)


def test_a_charge_is_settled_once(ledger):
    """A second settlement changes nothing, nor does the settlement of a released charge."""
    made = ledger()
    charge = made.reserve([DAY], Decimal("0.3"), Charge(Origin(), "default")).charge
    made.settle(charge, Decimal("0.1"))
    made.settle(charge, Decimal("0.2"))
    made.release(charge)
    other = made.reserve([DAY], Decimal("0.3"), Charge(Origin(), "default")).charge
    made.release(other)
    made.settle(other, Decimal("0.3"))

    assert (Decimal("0.1"), Decimal(0), 1) == (total(made).spent, total(made).reserved, total(made).predictions)


def test_a_new_budget_includes_earlier_charges(ledger):
    """Earlier charges count by account, script and caller; later settlements change the same total."""
    made = ledger()
    charges = [
        made.reserve([DAY], Decimal("0.1"), Charge(Origin("", "/jobs/nightly.lua"), "work")).charge,
        made.reserve([DAY], Decimal("0.2"), Charge(Origin("", None, "mcp"), "work")).charge,
        made.reserve([DAY], Decimal("0.4"), Charge(Origin("", "other.lua"), "default")).charge,
    ]
    made.settle(charges[1], Decimal("0.15"))
    work = Allowance(name="w", period="month", cost=9, account="work")
    script = Allowance(name="s", period="week", cost=9, script="night*.lua")
    caller = Allowance(name="c", period="day", cost=9, caller="mcp")

    assert [(Decimal("0.15"), Decimal("0.1")), (Decimal(0), Decimal("0.1")), (Decimal("0.15"), Decimal(0))] == [
        (each.spent, each.reserved) for each in made.totals([work, script, caller])
    ]
    made.settle(charges[0], Decimal("0.05"))
    assert (Decimal("0.2"), Decimal(0)) == (total(made, work).spent, total(made, work).reserved)


def test_a_budget_of_predictions_needs_no_price(ledger):
    """Predictions with unknown prices are counted separately until their prices are known."""
    made, two = ledger(), Allowance(name="two", period="day", predictions=2)
    assert all(made.reserve([two], None, Charge(Origin(), "default")).charge for _ in range(2))

    assert made.reserve([two], None, Charge(Origin(), "default")).refused
    assert (2, 2) == (total(made, two).predictions, total(made, two).unpriced)
    made.settle(1, Decimal("0.5"))
    assert (Decimal("0.5"), 2, 1) == (total(made, two).spent, total(made, two).predictions, total(made, two).unpriced)


def test_a_new_period_starts_at_zero(ledger):
    """A charge that is settled after midnight counts for the day of its reservation."""
    clock = Clock()
    made = ledger(clock)
    charge = made.reserve([DAY], Decimal(1), Charge(Origin(), "default")).charge
    before = total(made).start
    clock.now += 86400
    assert made.reserve([DAY], Decimal(1), Charge(Origin(), "default")).charge
    made.settle(charge, Decimal("0.5"))

    assert (Decimal(0), Decimal(1)) == (total(made).spent, total(made).reserved)
    assert before + 86400 == total(made).start


@pytest.mark.parametrize(
    ("period", "zone", "at", "start", "end"),
    [
        ("day", "UTC", "2026-11-30T12:00+00:00", "2026-11-30 00:00 UTC", "2026-12-01 00:00 UTC"),
        ("week", "UTC", "2026-11-29T12:00+00:00", "2026-11-23 00:00 UTC", "2026-11-30 00:00 UTC"),
        ("month", "UTC", "2026-12-31T23:59+00:00", "2026-12-01 00:00 UTC", "2027-01-01 00:00 UTC"),
        ("month", "UTC", "2028-02-29T00:00+00:00", "2028-02-01 00:00 UTC", "2028-03-01 00:00 UTC"),
        ("day", "Asia/Tokyo", "2026-11-30T16:00+00:00", "2026-12-01 00:00 Asia/Tokyo", "2026-12-02 00:00 Asia/Tokyo"),
        (  # a day of 23 hours
            "day", "Europe/Berlin", "2026-03-29T12:00+00:00",
            "2026-03-29 00:00 Europe/Berlin", "2026-03-30 00:00 Europe/Berlin",
        ),
    ],
)  # fmt: skip
def test_periods_begin_at_midnight_of_their_zone(period, zone, at, start, end):
    """Weeks begin on Monday, and months on the first day."""
    found = bounds(period, zone, datetime.fromisoformat(at).timestamp())

    assert (start, end) == tuple(shown(each, zone) for each in found)


def test_an_interrupted_call_is_charged_once(ledger):
    """The next attempt of an interrupted call uses the first reservation, even in a full budget; another call in its
    place does not.
    """
    made, first = ledger(), Charge(Origin(), "default", place="run/0/1")
    charge = made.reserve([DAY], Decimal("0.8"), first).charge
    again = made.reserve([DAY], Decimal("0.8"), msgspec.structs.replace(first, again=True))

    assert (charge, Decimal("0.8"), 1) == (again.charge, again.totals[0].reserved, again.totals[0].predictions)
    assert made.reserve([DAY], Decimal("0.8"), first).refused
    other = msgspec.structs.replace(first, again=True, place="run/0/2")
    assert charge < made.reserve([DAY], Decimal("0.1"), other).charge


def test_a_ledger_of_the_previous_version(ledger, tmp_path):
    """The content of a ledger from the previous version is kept."""
    made = ledger()
    made.reserve([DAY], Decimal("0.1"), Charge(Origin(), "default"))
    made.close()
    with sqlite3.connect(tmp_path / "state" / "ledger.sqlite") as file:
        for text in ("DROP INDEX charges_place", "ALTER TABLE charges DROP COLUMN place", "PRAGMA user_version = 1"):
            file.execute(text)
    made.reserve([DAY], Decimal("0.2"), Charge(Origin(), "default", place="run/0/1"))

    assert Decimal("0.3") == total(made).reserved


def test_only_the_owner_can_read_the_file(ledger, tmp_path):
    """The files that SQLite puts next to the ledger are private too."""
    ledger().reserve([DAY], Decimal("0.1"), Charge(Origin(), "default"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()}

    assert {0o600} == set(modes.values())
    assert 0o700 == stat.S_IMODE((tmp_path / "state").stat().st_mode)


def test_a_forked_process_reopens_the_ledger(ledger):
    """The parent process sees the reservations of the forked process."""
    made = ledger()
    made.reserve([DAY], Decimal("0.1"), Charge(Origin(), "default"))
    child = os.fork()
    if not child:
        made.reserve([DAY], Decimal("0.2"), Charge(Origin(), "default"))
        os._exit(0)
    assert 0 == os.waitpid(child, 0)[1]

    assert Decimal("0.3") == total(made).reserved


@pytest.mark.parametrize("damage", ["not a database at all, but long enough to be looked at", "newer"])
def test_an_unreadable_ledger_blocks_calls(ledger, tmp_path, damage):
    """The error names the ledger's path, and the ledger is not replaced."""
    path = tmp_path / "state" / "ledger.sqlite"
    path.parent.mkdir()
    if damage == "newer":
        with sqlite3.connect(path) as file:
            file.execute("PRAGMA user_version = 99")
    else:
        path.write_text(damage * 50)
    with pytest.raises(ConfigurationError, match="this call was not sent"):
        ledger().reserve([DAY], Decimal("0.1"), Charge(Origin(), "default"))


# Many processes ---------------------------------------------------------------------------------------------------


def configured(monkeypatch, tmp_path, server, cost):
    directory = tmp_path / "config"
    directory.mkdir()
    (directory / "config.toml").write_text(
        f'[replicate.prices]\n"owner/images" = {{ image_output_count = 0.01 }}\n'
        f'[[replicate.budgets]]\nname = "daily"\nperiod = "day"\ncost = {cost}\n'
    )
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(directory))
    monkeypatch.setenv("REPLICATE_URL", server.url)
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_token")


def spenders(count, times):
    command = [sys.executable, str(SPENDER), str(times)]
    return [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(count)]


class Auditor(threading.Thread):
    """A process that reads the totals while others write, and collects totals above the budget."""

    def __init__(self, cap):
        super().__init__(daemon=True)
        self.cap, self.over, self.reads = cap, [], 0
        self._over = threading.Event()

    def run(self):
        path = file_of(os.environ)
        while not self._over.is_set():
            if os.path.exists(path):
                self._look(path)
            self._over.wait(0.001)

    def _look(self, path):
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as file:
                rows = file.execute("SELECT spent + reserved FROM totals").fetchall()
        except sqlite3.OperationalError:  # its tables are still being created
            return
        self.reads += 1
        self.over += [amount for (amount,) in rows if amount > self.cap * 1_000_000_000]

    def stop(self):
        self._over.set()
        self.join()


@pytest.mark.parametrize("kills", [0, 2])
def test_many_processes_share_one_budget(monkeypatch, tmp_path, kills):
    """No commit exceeds the budget; reservations of killed processes still count."""
    seen = threading.Semaphore(0)
    server = CountingServer(lambda _: seen.release())
    cap = PROCESSES * TIMES * 0.02 / 2  # enough for half of the processes: each reserves two images and uses one
    configured(monkeypatch, tmp_path, server, cap)
    auditor = Auditor(Decimal(repr(cap)))
    auditor.start()
    running = spenders(PROCESSES, TIMES)
    for each in running[:kills]:
        for _ in range(5):
            assert seen.acquire(timeout=60)
        each.send_signal(signal.SIGKILL)
    outputs = [each.communicate(timeout=600)[0] for each in running]
    auditor.stop()
    server.close()

    ledger = Ledger(file_of(os.environ), time.time)
    budget = Allowance(name="daily", period="day", cost=cap)
    found = ledger.totals([budget])[0]
    counted = found.predictions
    ledger.close()
    assert not auditor.over
    assert auditor.reads > 0
    assert found.spent + found.reserved <= Decimal(repr(cap))
    assert len(server.made) <= counted <= len(server.made) + kills  # killed between reserving and sending
    assert Decimal("0.01") * len(server.made) <= found.spent + found.reserved
    assert PROCESSES - kills <= sum("budget 'daily'" in text or "done" in text for text in outputs)
