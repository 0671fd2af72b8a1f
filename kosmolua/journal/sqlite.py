"""A journal in a file: append-only SQLite. All SQL of the package's journals is here.

Every answer is a row, in the order in which the script got it. Before a write is sent, its intent is a row on disk. The
file contains inputs and answers; only its owner can read it.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from typing import Any

import msgspec

from kosmolua.errors import JournalError
from kosmolua.journal.arguments import NO_DATA
from kosmolua.journal.lock import holder_of
from kosmolua.journal.records import MOST_SECONDS, CallStart, Counts, Facts, Head, Intent, Line, Loaded, Row, Sent
from kosmolua.settings.config import DEFAULT_ACCOUNT

MARK = 0x6B6F736D  # "kosm", in SQLite's header: the file is a journal
SCHEMA = 1
_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB);
CREATE TABLE runs (number INTEGER PRIMARY KEY, at REAL, digest TEXT);
CREATE TABLE ends (run INTEGER, at REAL, ok INTEGER, error TEXT);
CREATE TABLE intents (number INTEGER PRIMARY KEY, task INTEGER, request INTEGER, function TEXT, account TEXT,
  digest BLOB, arguments BLOB, at REAL, seen INTEGER, model TEXT, essence BLOB, boot TEXT, uptime REAL,
  cut INTEGER DEFAULT 0);
CREATE TABLE outcomes (number INTEGER PRIMARY KEY, task INTEGER, request INTEGER, function TEXT, account TEXT,
  digest BLOB, arguments BLOB, at REAL, seen INTEGER, model TEXT, state TEXT, value BLOB, ended REAL, sent INTEGER,
  cut INTEGER DEFAULT 0);
"""
_APPROVAL = "approval "  # before the id in the name of a fact
_MAY_BE_NULL = frozenset({"error", "model", "value"})
_REQUEST = "task, request, function, account, digest, arguments, at, seen"
_INTEND = "INSERT INTO intents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_FINISH = "INSERT INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_ANSWERED = "(task, request) IN (SELECT task, request FROM outcomes WHERE NOT cut)"
_OPEN = f"NOT cut AND NOT {_ANSWERED}"


class DamagedError(JournalError, sqlite3.DatabaseError):
    """The file or database contains data that no journal has. `SqliteStore.hold` adds the path of the file."""


class SqliteStore:
    """A `kosmolua.journal.store.Store` in the file at ``path``, which is created if missing; with ``read_only`` it must
    exist, and another process may be writing it. Raises a `JournalError`.
    """

    def __init__(self, path: str, *, read_only: bool = False) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._file: sqlite3.Connection | None = _readable(path) if read_only else _writable(path)

    @contextmanager
    def hold(self, what: str = "") -> Iterator[None]:
        with self._lock:
            if self._file is None:
                raise JournalError(f"the journal {self._path} is closed" + (f"; {what}" if what else ""))
            try:
                yield
            except (sqlite3.Error, OSError) as error:
                raise unusable(self._path, error, what) from None

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            if self._file:
                self._file.close()
                self._file = None

    def merge(self) -> None:
        """Merge everything into one file, so that it can be moved."""
        self._do("PRAGMA journal_mode = DELETE")

    # The run ------------------------------------------------------------------------------------------------------

    def prepare(self, head: Head) -> Facts:
        if not _has_content(self._path, self._connection):
            rows = f"PRAGMA application_id = {MARK};PRAGMA user_version = {SCHEMA};"
            self._connection.executescript(f"BEGIN;{_TABLES}{rows}")
            self._connection.executemany("INSERT INTO facts VALUES (?, ?)", _new_facts(head).items())
            self._do("COMMIT")
        return self.facts()

    def facts(self) -> Facts:
        found: dict[str, Any] = {"account": DEFAULT_ACCOUNT, **dict(self._do("SELECT name, value FROM facts"))}
        try:
            given = {name: msgspec.msgpack.decode(found.get(name, b"\xc0")) for name in ("args", "named")}
            return msgspec.convert({**found, **given}, type=Facts, builtin_types=(bytes,))
        except NO_DATA as error:
            raise DamagedError(f"invalid run metadata: {error}") from None

    def begin_run(self, digest: str) -> int:
        return self._do("INSERT INTO runs VALUES (NULL, ?, ?)", time.time(), digest).lastrowid or 0

    def end(self, run: int, error: str | None) -> None:
        self._do("INSERT INTO ends VALUES (?, ?, ?, ?)", run, time.time(), error is None, error)

    def last_end(self) -> tuple[float, bool, str | None] | None:
        end = self._do("SELECT at, ok, error FROM ends WHERE run = (SELECT max(number) FROM runs)").fetchone()
        return end and (end[0], bool(end[1]), end[2])

    def last_digest(self) -> str | None:
        """The digest of the script in the last run."""
        row = self._do("SELECT digest FROM runs ORDER BY number DESC LIMIT 1").fetchone()
        return row[0] if row else None

    def ended_after(self, at: float) -> float | None:
        moments = "SELECT at FROM ends UNION ALL SELECT at FROM runs"
        (found,) = self._do(f"SELECT min(at) FROM ({moments}) WHERE at > ?", at).fetchone()  # noqa: S608
        return None if found is None else float(found)

    # Its calls ----------------------------------------------------------------------------------------------------

    def intend(
        self,
        began: CallStart,
        model: str | None,
        essence: bytes,
        boot: tuple[str, float],
        approvals: Sequence[str] = (),
    ) -> None:
        self._do("PRAGMA synchronous = FULL")
        intent = (*msgspec.structs.astuple(began), model, essence, *boot)
        if approvals:
            self._intend_once(intent, approvals)
        else:
            self._do(_INTEND, *intent)
        self._do("PRAGMA synchronous = NORMAL")

    def _intend_once(self, intent: tuple[Any, ...], approvals: Sequence[str]) -> None:
        left = f"SELECT 1 FROM intents WHERE task = ? AND request = ? AND {_OPEN}"  # noqa: S608 - a constant
        if not self._do(left, *intent[:2]).fetchone() and any(map(self.is_used, approvals)):
            raise JournalError("an approval of this call was used for something else; nothing was sent")
        self._do("BEGIN IMMEDIATE")
        try:
            self.use(approvals)
            self._do(_INTEND, *intent)
        except BaseException:
            self._do("ROLLBACK")
            raise
        self._do("COMMIT")

    def use(self, approvals: Sequence[str], outcome: int = 0) -> None:
        for each in approvals:
            self._do("INSERT OR IGNORE INTO facts VALUES (?, ?)", f"{_APPROVAL}{each}", outcome)

    def is_used(self, approval: str) -> bool:
        """Whether a call of this run has used that approval."""
        return self._do("SELECT 1 FROM facts WHERE name = ?", f"{_APPROVAL}{approval}").fetchone() is not None

    def finish(
        self,
        began: CallStart,
        model: str | None,
        state: str,
        value: bytes | None,
        *,
        sent: bool,
        takes: str | None = None,  # noqa: ARG002 - of the protocol
        alone: bool = False,  # noqa: ARG002 - of the protocol
    ) -> int:
        fields = (*msgspec.structs.astuple(began), model, state, value, time.time(), sent)
        return self._do(_FINISH, *fields).lastrowid or 0

    def value(self, number: int) -> bytes | None:
        (value,) = self._do("SELECT value FROM outcomes WHERE number = ?", number).fetchone()
        return None if value is None else bytes(value)

    def cut(self, first: int) -> None:
        self._do("UPDATE outcomes SET cut = 1 WHERE number >= ?", first)
        self._do(f"UPDATE intents SET cut = 1 WHERE NOT {_ANSWERED}")  # noqa: S608 - a constant

    def forget_last_error(self) -> None:
        last = self._do("SELECT ok, error FROM ends WHERE run = (SELECT max(number) FROM runs)").fetchone()
        code = ((last[1] or "") if last else "interrupted:").partition(":")[0]
        if (last and last[0]) or code == "waiting":
            return
        seen = f"SELECT seen FROM outcomes WHERE NOT cut UNION ALL SELECT seen FROM intents WHERE {_OPEN}"  # noqa: S608
        failed = f"NOT cut AND state IN ('error', 'unsure') AND number > (SELECT coalesce(max(seen), 0) FROM ({seen}))"  # noqa: S608
        if code == "interrupted":  # a person who has denied a call is not asked again
            failed += f" AND number NOT IN (SELECT value FROM facts WHERE name LIKE '{_APPROVAL}%')"  # noqa: S608
        rows = self._do(f"SELECT number, task, request, state FROM outcomes WHERE {failed}").fetchall()  # noqa: S608
        for number, task, request, state in rows:
            self._do("UPDATE outcomes SET cut = 1 WHERE number = ?", number)
            if state == "error":
                self._do("UPDATE intents SET cut = 1 WHERE task = ? AND request = ?", task, request)

    def load(self) -> Loaded:
        kept = f"SELECT {_REQUEST}, number, state FROM outcomes WHERE NOT cut ORDER BY number"  # noqa: S608
        rows = [
            Row(number, order, state, CallStart(*began))
            for order, (*began, number, state) in enumerate(self._do(kept), 1)
        ]
        meant = f"SELECT {_REQUEST}, number, essence, boot, uptime FROM intents WHERE {_OPEN} ORDER BY number"  # noqa: S608
        attempts = [
            (CallStart(*fields), Intent(number, fields[6], essence, boot, uptime))
            for *fields, number, essence, boot, uptime in self._do(meant)
        ]
        answered = self._do("SELECT function, value FROM outcomes WHERE state = 'ok' AND sent AND value IS NOT NULL")
        return Loaded(rows, attempts, [(function, bytes(value)) for function, value in answered])

    def newest(self) -> int:
        (number,) = self._do("SELECT coalesce(max(number), 0) FROM outcomes").fetchone()
        return int(number)

    def sent(self, after: int = 0) -> Iterator[Sent]:
        names = "number, function, account, arguments, model, at, state, value, cut"
        for row in self._do(f"SELECT {names} FROM outcomes WHERE sent AND number > ? ORDER BY number", after):  # noqa: S608
            yield Sent(*row)

    def succeeded(self, functions: Sequence[str]) -> list[tuple[str, bytes]]:
        rows = (
            "SELECT account, value FROM outcomes WHERE state = 'ok' AND sent AND NOT cut AND value IS NOT NULL "  # noqa: S608
            f"AND instr(value, CAST('succeeded' AS BLOB)) AND function IN ({', '.join('?' * len(functions))})"
        )
        return [(account, bytes(value)) for account, value in self._do(rows, *functions)]

    # Other runs have their own files ---------------------------------------------------------------------------

    def take(self, identifier: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return True

    def is_taken(self, identifier: str) -> bool:  # noqa: ARG002 - the protocol's signature
        return False

    def elsewhere(self, essence: bytes) -> tuple[int, int]:  # noqa: ARG002 - the protocol's signature
        return 0, 0

    # For people ---------------------------------------------------------------------------------------------------

    def summaries(self) -> Counts:
        (runs,) = self._do("SELECT count(*) FROM runs").fetchone()
        (answers,) = self._do("SELECT count(*) FROM outcomes WHERE NOT cut").fetchone()
        open_ = f"SELECT count(DISTINCT task || ' ' || request) FROM intents WHERE {_OPEN}"  # noqa: S608
        (left,) = self._do(open_).fetchone()
        (last,) = self._do("SELECT max(ended) FROM outcomes").fetchone()
        return Counts(runs, answers, left, self.last_end(), last)

    def lines(self, *, answers: bool = True) -> Iterator[Line]:
        value = "value" if answers else "NULL"
        rows = f"SELECT {_REQUEST}, model, state, {value}, ended FROM outcomes WHERE NOT cut ORDER BY number"  # noqa: S608
        for *began, model, state, kept, ended in self._do(rows):
            yield Line(CallStart(*began), model, state, kept, ended)
        for *began, model in self._do(f"SELECT {_REQUEST}, model FROM intents WHERE {_OPEN} ORDER BY number"):  # noqa: S608
            yield Line(CallStart(*began), model, "open")

    def _do(self, text: str, *values: Any) -> sqlite3.Cursor:
        return self._connection.execute(text, values)

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._file is None:
            raise JournalError(f"the journal {self._path} is closed")
        return self._file


def decoded(data: bytes) -> Any:
    """MessagePack that a journal holds. Raises a `DamagedError`."""
    try:
        return msgspec.msgpack.decode(data)
    except NO_DATA as error:
        raise DamagedError(f"invalid data: {error}") from None


def unusable(path: str, error: Exception, what: str = "") -> JournalError:
    """The error for a journal that cannot be read or written."""
    why = error.strerror if isinstance(error, OSError) else str(error.args[0] if error.args else error)
    hint = "check that the disk has space and the file is writable; its content is still valid"
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        hint = "not a journal file; choose another path"
    elif isinstance(error, DamagedError):
        hint = "another program wrote into it; choose another path"
    return JournalError(f"cannot use the journal {path}: {why}" + (f"; {what}" if what else ""), hint=hint)


# The file ---------------------------------------------------------------------------------------------------------


def _writable(path: str) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from None
    return file


def _readable(path: str) -> sqlite3.Connection:
    try:
        if not os.path.isfile(path):
            raise JournalError(f"no journal at {path}", hint="list the runs: kosmo runs list")
        address = os.path.abspath(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
        # SQLite would create files next to a journal that is only read, and leave them there.
        how = "mode=ro" if os.path.exists(f"{path}-wal") or holder_of(path) is not None else "immutable=1"
        file = sqlite3.connect(f"file:{address}?{how}", uri=True)
        _has_content(path, file)
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    return file


def _has_content(path: str, file: sqlite3.Connection) -> bool:
    """Whether the file is already a journal, whose content is then checked, rather than empty."""
    (mark,), (schema,) = (file.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    if mark == MARK and schema == SCHEMA:
        _check_content(file)
        return True
    if mark == MARK:
        raise JournalError(
            f"{path} is a journal of schema {schema}; this version reads {SCHEMA}", hint="use a newer kosmolua"
        )
    if file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise JournalError(f"{path} is the database of another program", hint="choose another path")
    return False


def _check_content(file: sqlite3.Connection) -> None:
    """Refuse a file that another program has written into: its tables, and the types of their values."""
    made = {
        text for (text,) in file.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'")
    }
    if made != {text.strip() for text in _TABLES.split(";") if text.strip()}:
        raise DamagedError("its tables are not those of a journal")
    for table, invalid in _searches():
        if found := file.execute(invalid).fetchone():
            raise DamagedError(f"invalid row {found[0]} in table {table}")


@cache
def _searches() -> list[tuple[str, str]]:
    """The tables, each with SQL that finds an invalid row."""
    made = []
    with closing(sqlite3.connect(":memory:")) as file:
        file.executescript(_TABLES)
        for table in ("runs", "ends", "intents", "outcomes"):
            columns = file.execute("SELECT name, lower(type) FROM pragma_table_info(?)", (table,)).fetchall()
            wrong = " OR ".join(_is_wrong(name, kind) for name, kind in columns)
            made.append((table, f"SELECT rowid FROM {table} WHERE {wrong} LIMIT 1"))  # noqa: S608
    return made


def _is_wrong(column: str, kind: str) -> str:
    """SQL that is true for a value whose type differs from that of its column, which SQLite does not check."""
    kinds = f"'{kind}', 'null'" if column in _MAY_BE_NULL else f"'{kind}'"
    beyond = f" OR abs({column}) > {MOST_SECONDS}" if kind == "real" else ""
    return f"typeof({column}) NOT IN ({kinds}){beyond}"


def _new_facts(head: Head) -> dict[str, Any]:
    script = os.path.abspath(head.script) if os.path.isfile(head.script) else head.script
    return {
        "id": os.urandom(6).hex(),
        "script": script.encode(errors="replace").decode(),  # a name need not be UTF-8
        "source": head.source,
        "args": msgspec.msgpack.encode(head.args),
        **({} if head.named is None else {"named": msgspec.msgpack.encode(head.named)}),
        "account": head.account,
        "emulated": int(head.emulated),
        "prompt": int(head.prompt),
        "awaits": int(not head.prompt),
        "directory": os.getcwd().encode(errors="replace").decode(),
        "began": time.time(),
        "seed": random.SystemRandom().randrange(1 << 52),
    }
