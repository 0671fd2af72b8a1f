"""The spending of persistent budgets: ``ledger.sqlite`` in the state directory, shared by processes.

Each prediction or training is a charge. It is reserved before it is sent and settled once its cost is known. The
reservation of a killed process remains until another run reads the prediction. Each budget has a total per period, so
that a reservation reads few rows. Amounts are whole billionths of the currency.

No lock is held while a request is sent: each step is its own transaction.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import ROUND_CEILING, Decimal
from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.gate.periods import bounds
from kosmolua.settings import paths
from kosmolua.settings.config import Allowance

NAME = "ledger.sqlite"
PATIENCE = 30.0  # seconds to wait for other processes
KEPT = 100 * 86400.0  # seconds to keep settled charges; longer than any period
LOOKED_AT = 50  # maximum number of open reservations to check before a refusal
_VERSION = 2
_UNIT = 1_000_000_000
_SCHEMA = """
CREATE TABLE charges (
    id INTEGER PRIMARY KEY, at REAL NOT NULL, account TEXT NOT NULL, script TEXT, caller TEXT, run TEXT NOT NULL,
    kind TEXT NOT NULL, model TEXT, prediction TEXT, held INTEGER, spent INTEGER, place TEXT
);
CREATE INDEX charges_place ON charges (place) WHERE place IS NOT NULL;
CREATE INDEX charges_at ON charges (at);
CREATE INDEX charges_open ON charges (prediction) WHERE spent IS NULL;
CREATE TABLE totals (
    scope TEXT NOT NULL, start REAL NOT NULL, spent INTEGER NOT NULL, reserved INTEGER NOT NULL,
    predictions INTEGER NOT NULL, unpriced INTEGER NOT NULL, PRIMARY KEY (scope, start)
) WITHOUT ROWID;
CREATE TABLE counted (
    charge INTEGER NOT NULL, scope TEXT NOT NULL, start REAL NOT NULL, PRIMARY KEY (charge, scope, start)
) WITHOUT ROWID;
"""


class Origin(Struct, frozen=True):
    """Who makes the calls of a session: the script, by its name as given, and the caller that a program named."""

    run: str = ""
    script: str | None = None
    caller: str | None = None


class Charge(Struct, frozen=True):
    """What is reserved. ``place`` is the call's place in a journal; ``again`` says that an earlier attempt at this call
    was interrupted, and that the reservation of that attempt still applies.
    """

    origin: Origin
    account: str
    kind: str = "prediction"
    model: str | None = None
    place: str | None = None
    again: bool = False


class Total(Struct, frozen=True):
    """The state of a budget in a period that ends at ``renews``, in Unix seconds. ``unpriced`` counts predictions that
    were allowed although their price is unknown.
    """

    budget: Allowance
    start: float
    renews: float
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    predictions: int = 0
    unpriced: int = 0

    @property
    def share(self) -> Decimal:
        """The fraction of the budget that is spent or reserved; the higher of its two limits."""
        return max(
            _part(self.spent + self.reserved, self.budget.cost),
            _part(Decimal(self.predictions), self.budget.predictions),
        )

    def least(self) -> Total:
        """The total if no reservation is ever spent."""
        return msgspec.structs.replace(self, reserved=Decimal(0))

    def takes(self, amount: Decimal) -> bool:
        """Whether there is room for a prediction of this cost."""
        cost, predictions = self.budget.cost, self.budget.predictions
        return (cost is None or self.spent + self.reserved + amount <= Decimal(repr(cost))) and (
            predictions is None or self.predictions < predictions
        )


class OpenCharge(Struct, frozen=True):
    """An unsettled reservation whose prediction is known."""

    charge: int
    kind: str
    prediction: str
    account: str
    model: str | None


class Reservation(Struct, frozen=True):
    """The number of the charge, or None if the ``refused`` budgets had no room; ``totals`` includes the reservation."""

    charge: int | None
    totals: tuple[Total, ...]
    refused: tuple[Total, ...] = ()


class Ledger:
    """The ledger file, opened by the first reservation. Raises a `ConfigurationError` if it cannot be used; nothing is
    sent then.
    """

    joins = False  # whether reservations are made in the transaction of the thread's journal

    def __init__(self, path: str, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self._owner = 0  # the process that opened the file: SQLite connections do not survive a fork

    def reserve(self, budgets: Sequence[Allowance], amount: Decimal | None, charge: Charge) -> Reservation:
        """Reserve a charge in all of these budgets, or in none if one has no room. ``amount`` is None for an unknown
        price.
        """
        held, now = None if amount is None else _units(amount), self._clock()
        with self._transaction() as file:
            totals = [_total(file, each, now) for each in budgets]
            found = _earlier(file, charge)
            if found is not None:
                return Reservation(found, tuple(totals))
            refused = [total for total in totals if not total.takes(amount or Decimal(0))]
            if refused:
                return Reservation(None, tuple(totals), tuple(refused))
            number = _insert(file, charge, now, held)
            for scope, start in {(scope_of(total.budget), total.start) for total in totals}:
                file.execute("INSERT INTO counted VALUES (?, ?, ?)", (number, scope, start))
                _add(file, scope, start, reserved=held or 0, predictions=1, unpriced=int(held is None))
            return Reservation(number, tuple(_total(file, each, now) for each in budgets))

    def name(self, charge: int, prediction: str) -> None:
        """Note the prediction of a charge, so that other runs can settle it."""
        with self._transaction() as file:
            file.execute("UPDATE charges SET prediction = ? WHERE id = ?", (prediction, charge))

    def settle(self, charge: int, amount: Decimal | None, prediction: str | None = None) -> None:
        """Replace a reservation by the amount paid; None keeps the reserved amount. A second call has no effect."""
        with self._transaction() as file:
            row = file.execute("SELECT held FROM charges WHERE id = ? AND spent IS NULL", (charge,)).fetchone()
            if row is None:
                return
            held = row[0] or 0
            spent = held if amount is None else _units(amount)
            file.execute(
                "UPDATE charges SET spent = ?, prediction = coalesce(?, prediction) WHERE id = ?",
                (spent, prediction, charge),
            )
            for scope, start in _counted(file, charge):
                unpriced = -int(row[0] is None and amount is not None)
                _add(file, scope, start, spent=spent, reserved=-held, unpriced=unpriced)

    def release(self, charge: int) -> None:
        """Delete a reservation whose prediction was never created."""
        with self._transaction() as file:
            row = file.execute("SELECT held FROM charges WHERE id = ? AND spent IS NULL", (charge,)).fetchone()
            if row is None:
                return
            for scope, start in _counted(file, charge):
                _add(file, scope, start, reserved=-(row[0] or 0), predictions=-1, unpriced=-int(row[0] is None))
            file.execute("DELETE FROM counted WHERE charge = ?", (charge,))
            file.execute("DELETE FROM charges WHERE id = ?", (charge,))

    def totals(self, budgets: Sequence[Allowance]) -> list[Total]:
        """The current totals of the budgets."""
        with self._transaction() as file:
            return [_total(file, each, self._clock()) for each in budgets]

    def unsettled(self, budgets: Sequence[Allowance], limit: int = LOOKED_AT) -> list[OpenCharge]:
        """The oldest reservations in the current periods of these budgets whose predictions are known."""
        now = self._clock()
        keys = {(scope_of(each), bounds(each.period, each.timezone, now)[0]) for each in budgets}
        query = (
            "SELECT DISTINCT id, kind, prediction, account, model FROM charges JOIN counted ON charge = id "
            "WHERE spent IS NULL AND prediction IS NOT NULL AND scope = ? AND start = ? ORDER BY id LIMIT ?"
        )
        with self._transaction() as file:
            found = [OpenCharge(*row) for key in sorted(keys) for row in file.execute(query, (*key, limit))]
        return list({each.charge: each for each in found}.values())[:limit]

    def charge_of(self, prediction: str) -> int | None:
        """The open charge of a prediction, which another run may have created."""
        with self._transaction() as file:
            row = file.execute(
                "SELECT id FROM charges WHERE prediction = ? AND spent IS NULL", (prediction,)
            ).fetchone()
        return row and int(row[0])

    def close(self) -> None:
        with self._lock:
            if self._file:
                self._file.close()
                self._file = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                file = self._file if self._file and self._owner == os.getpid() else self._open()
                file.execute("BEGIN IMMEDIATE")
                try:
                    yield file
                    file.execute("COMMIT")
                except BaseException:
                    file.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, OSError) as error:
                raise _unusable(self.path, error) from None

    def _open(self) -> sqlite3.Connection:
        os.makedirs(os.path.dirname(self.path), mode=0o700, exist_ok=True)
        made = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        os.fchmod(made, 0o600)
        os.close(made)
        file = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            _use_wal(file)
            file.execute("PRAGMA synchronous = NORMAL")
            _prepare(file, self._clock())
        except BaseException:
            file.close()
            raise
        self._file, self._owner = file, os.getpid()
        return file


def file_of(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), NAME)


def applies(budget: Allowance, account: str, origin: Origin) -> bool:
    """Whether a budget counts calls of this account and origin."""
    return (
        budget.account in (None, account)
        and budget.caller in (None, origin.caller)
        and (budget.script is None or _is_script(budget.script, origin.script))
    )


def scope_of(budget: Allowance) -> str:
    """The key of a total: budgets that count the same calls in the same periods share it, whatever their caps."""
    parts = (budget.period, budget.timezone, budget.account, budget.script, budget.caller)
    return "|".join("" if part is None else part.replace("|", "||") for part in parts)


def _is_script(glob: str, script: str | None) -> bool:
    if script is None:
        return False
    return any(fnmatchcase(name, glob) for name in (script, os.path.basename(script), os.path.abspath(script)))


def _use_wal(file: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite's timeout does not cover this, so concurrent processes have to retry."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            file.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _prepare(file: sqlite3.Connection, now: float) -> None:
    """Create the tables, and delete charges older than any period."""
    file.execute("BEGIN IMMEDIATE")
    try:
        (version,) = file.execute("PRAGMA user_version").fetchone()
        _check_version(version)
        if version == 1:
            file.execute("ALTER TABLE charges ADD COLUMN place TEXT")
            file.execute("CREATE INDEX charges_place ON charges (place) WHERE place IS NOT NULL")
        if version == 0:
            for statement in _SCHEMA.split(";"):
                file.execute(statement)
        if version < _VERSION:
            file.execute(f"PRAGMA user_version = {_VERSION}")
        old = "SELECT id FROM charges WHERE at < ?"
        file.execute(f"DELETE FROM counted WHERE charge IN ({old})", (now - KEPT,))  # noqa: S608
        file.execute("DELETE FROM charges WHERE at < ?", (now - KEPT,))
        file.execute("DELETE FROM totals WHERE start < ?", (now - KEPT,))
        file.execute("COMMIT")
    except BaseException:
        file.execute("ROLLBACK")
        raise


def _check_version(version: int) -> None:
    if version > _VERSION:
        raise sqlite3.DatabaseError(f"written by a newer version of kosmolua (format {version})")


def _earlier(file: sqlite3.Connection, charge: Charge) -> int | None:
    """The charge of an interrupted attempt at the same call."""
    if not charge.again or charge.place is None:
        return None
    row = file.execute("SELECT id FROM charges WHERE place = ? ORDER BY id DESC LIMIT 1", (charge.place,)).fetchone()
    return row and int(row[0])


def _insert(file: sqlite3.Connection, charge: Charge, now: float, held: int | None) -> int | None:
    origin = charge.origin
    names = "at, account, script, caller, run, kind, model, held, place"
    values = (
        now, charge.account, origin.script, origin.caller, origin.run, charge.kind, charge.model, held, charge.place,
    )  # fmt: skip
    text = f"INSERT INTO charges ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"  # noqa: S608 - a constant
    return file.execute(text, values).lastrowid


def _total(file: sqlite3.Connection, budget: Allowance, now: float) -> Total:
    start, renews = bounds(budget.period, budget.timezone, now)
    query = "SELECT spent, reserved, predictions, unpriced FROM totals WHERE scope = ? AND start = ?"
    row = file.execute(query, (scope_of(budget), start)).fetchone()
    if row is None:
        _begin(file, budget, start)
        row = file.execute(query, (scope_of(budget), start)).fetchone()
    spent, reserved, predictions, unpriced = row
    return Total(budget, start, renews, _amount(spent), _amount(reserved), predictions, unpriced)


def _begin(file: sqlite3.Connection, budget: Allowance, start: float) -> None:
    """Create a total from earlier charges in its period."""
    scope = scope_of(budget)
    file.execute("INSERT INTO totals VALUES (?, ?, 0, 0, 0, 0)", (scope, start))
    rows = file.execute(
        "SELECT id, account, script, caller, held, spent FROM charges WHERE at >= ?", (start,)
    ).fetchall()
    for charge, account, script, caller, held, spent in rows:
        if applies(budget, account, Origin("", script, caller)):
            file.execute("INSERT INTO counted VALUES (?, ?, ?)", (charge, scope, start))
            reserved = (held or 0) if spent is None else 0
            _add(file, scope, start, spent=spent or 0, reserved=reserved, predictions=1, unpriced=int(held is None))


def _add(
    file: sqlite3.Connection,
    scope: str,
    start: float,
    *,
    spent: int = 0,
    reserved: int = 0,
    predictions: int = 0,
    unpriced: int = 0,
) -> None:
    file.execute(
        "UPDATE totals SET spent = spent + ?, reserved = reserved + ?, predictions = predictions + ?, "
        "unpriced = unpriced + ? WHERE scope = ? AND start = ?",
        (spent, reserved, predictions, unpriced, scope, start),
    )


def _counted(file: sqlite3.Connection, charge: int) -> list[tuple[str, float]]:
    return file.execute("SELECT scope, start FROM counted WHERE charge = ?", (charge,)).fetchall()


def _units(amount: Decimal) -> int:
    """In whole billionths, rounded up so that no cost becomes zero."""
    return int((amount * _UNIT).to_integral_value(ROUND_CEILING))


def _amount(units: int) -> Decimal:
    return Decimal(units) / _UNIT


def _part(amount: Decimal, cap: float | None) -> Decimal:
    if cap is None:
        return Decimal(0)
    return amount / Decimal(repr(cap)) if cap else Decimal(1)


def _unusable(path: str, error: Exception) -> ConfigurationError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return ConfigurationError(
        f"cannot use the budget ledger {path}: {why}; this call was not sent",
        hint="check that the file is writable and the disk has space; if the file is damaged, move it away",
    )
