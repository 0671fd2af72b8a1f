"""What a run has asked and been answered, in a file: append-only SQLite, so that the run can go on where it ended.

Every answer is a row, in the order in which the script was given it. Before a write is sent its intent is a row that is
on disk; so after whatever end, a write is either answered, or known to have been meant. Rows are added and marked as
cut, never removed: what was spent stays spent. The file holds inputs and answers and is its owner's alone.
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Annotated, Any, NotRequired, TypedDict

import msgspec
from msgspec import Meta, Struct

from kosmolua.errors import JournalError, KosmoError
from kosmolua.gate.policy import model_of
from kosmolua.journal.bounds import Bounds, Room, unsent
from kosmolua.journal.lock import Holder
from kosmolua.replicate import catalogue
from kosmolua.replicate.ids import id_of
from kosmolua.replicate.structs import LocalFile, extension
from kosmolua.settings.config import DEFAULT_ACCOUNT

if TYPE_CHECKING:
    from kosmolua.gate.budget import Budget
    from kosmolua.gate.run import Found
    from kosmolua.replicate.answers import Answer
    from kosmolua.replicate.catalogue import Operation

MARK = 0x6B6F736D  # "kosm", by which SQLite's header says that a file is a journal
SCHEMA = 1
MAX_SHOWN = 400  # characters of arguments that people are shown
MAX_KEPT = 1 << 20  # bytes of arguments that are kept as they were; of a file's content beyond that its digest is
SPAN = 1 << 32  # at a prompt every input has so many numbers for its tasks
AGAIN = frozenset({"host.require"})  # not kept but asked for again: a module may be mended meanwhile
_WHOLE = frozenset({"host.interrupt"})  # says how many answers an input was given, and is read again
_MANNER = frozenset({"webhook", "webhook_events_filter", "stream"})
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
_MAY_BE_NULL = frozenset({"error", "model", "value"})
_MOST_SECONDS = 1e11  # that a time may be, which is what calendars can tell
_BEGIN_RUN = "INSERT INTO runs VALUES (NULL, ?, ?)"
_INTEND = "INSERT INTO intents VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_FINISH = "INSERT INTO outcomes VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)"
_ANSWERED = "EXISTS (SELECT 1 FROM outcomes o WHERE o.task = i.task AND o.request = i.request AND NOT o.cut)"
OPEN = f"NOT i.cut AND NOT {_ANSWERED}"
NO_DATA = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)  # what decoding raises, and encoding as JSON
_sorted = msgspec.msgpack.Encoder(order="sorted").encode
_encode = msgspec.msgpack.encode


def uptime() -> tuple[str, float]:
    """Which boot this is, and seconds since it began; no boot where the system does not tell."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip(), time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return "", 0.0


class Lookup(Struct, frozen=True, kw_only=True):
    """How to look for a write of which nobody knows how it ended. ``settling`` is how many seconds such a request may
    still be on its way; ``adopt`` is the id that a person takes for its result, ``again`` says that there is none.
    ``uptime`` gives the boot and the seconds since it began: within one boot the clock may be set as anybody likes.
    """

    settling: float = 30.0
    adopt: str | None = None
    again: bool = False
    sleep: Callable[[float], None] = time.sleep
    uptime: Callable[[], tuple[str, float]] = uptime

    def age(self, attempt: Intent) -> float:
        """Seconds since it was meant."""
        boot, now = self.uptime()
        return max(0.0, now - attempt.uptime if boot and boot == attempt.boot else time.time() - attempt.at)


class Head(Struct, frozen=True, kw_only=True):
    """What a journal is of. ``source`` is kept, so that a script that is no file can be run again; a ``prompt`` has
    none. ``account`` is whose calls are made that name no other.
    """

    script: str
    source: bytes
    args: list[str] = []
    account: str = DEFAULT_ACCOUNT
    emulated: bool = False
    prompt: bool = False


class Facts(TypedDict):
    """What is known of the run itself."""

    id: str
    script: str
    source: bytes
    args: list[str]
    account: str
    emulated: int
    prompt: NotRequired[int]
    directory: str
    began: Annotated[float, Meta(ge=0, le=_MOST_SECONDS)]
    seed: int


class _DamagedError(sqlite3.DatabaseError):
    """What is in the file is not what a journal holds."""


class Recorded(Struct, frozen=True):
    """An answer, the ``order``-th that was given. ``value`` is None where it is not kept."""

    order: int
    ok: bool
    value: bytes | None


class Intent(Struct, frozen=True):
    """A write that was meant and has no answer. ``at`` is in Unix seconds, ``uptime`` in seconds of that ``boot``."""

    number: int
    at: float
    essence: bytes
    boot: str
    uptime: float


class Began(Struct, frozen=True):
    """A request that is carried out, or an attempt at one. ``seen`` is the last row that the script had seen before."""

    task: int
    request: int
    function: str
    account: str
    digest: bytes
    arguments: bytes
    at: float = 0.0
    seen: int = 0

    def asks_like(self, other: Began) -> bool:
        return (self.function, self.account, self.digest) == (other.function, other.account, other.digest)

    def __str__(self) -> str:
        account = f" on account {self.account}" if self.account not in {"", "default"} else ""
        return f"{self.function}{account} {shown(self.arguments)}"


class Ticket:
    """A request that is carried out now. ``open`` are earlier attempts at it, of which nobody knows how they ended."""

    def __init__(self, journal: Journal, began: Began, found: Sequence[Intent]) -> None:
        self.open: Sequence[Intent] = found
        self.sent = False
        self.finished = False
        self.unsure = False  # whether it failed, and may have been done all the same
        self.model: str | None = None
        self.essence = b""
        self.began = began
        self.lookup = journal.lookup
        self._journal = journal

    def send(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """It is about to be sent. A write is on disk when this returns; raises a `JournalError` where it is not."""
        self.adopt(operation, arguments)
        if operation.access == "write":
            self._journal.intend(self)

    def find(
        self,
        read: Callable[[str, Mapping[str, Any]], Answer],
        base_url: str,
        operation: Operation,
        given: Mapping[str, Any],
    ) -> Found | None:
        """What an interrupted attempt at this call did, found by reads; None if it was not done and may be sent."""
        from kosmolua.journal import lookup

        return lookup.find(read, base_url, operation, given, self)

    def adopt(self, operation: Operation, arguments: Mapping[str, Any]) -> None:
        """It was sent, now or earlier."""
        self.sent, self.model = True, model_of(arguments)
        self.essence = _essence(operation, arguments)

    def settle(self, value: bytes) -> None:
        """Take down what came of it, where its answer was not waited for. That it cannot be written is no reason to
        fail once more: resumed, the run looks for it.
        """
        with suppress(JournalError):
            self._journal.finish(self, value, ok=True)

    def turn(self) -> AbstractContextManager[object]:
        """While there is something to look for, writes are sent one at a time, so that none is taken for another."""
        return self._journal.turn()

    @property
    def how(self) -> str:
        """What a person says to go on with the journal, before what is to become of this."""
        return self._journal.how

    def claimed(self, identifier: str) -> bool:
        """Whether that is the answer to another entry of this journal."""
        return identifier in self._journal.claimed

    def claim(self, identifier: str) -> None:
        self._journal.claimed.add(identifier)

    def ended(self, attempt: Intent) -> float:
        """When the run that made an attempt had ended at the latest, in Unix seconds of this machine then."""
        return self._journal.ended(attempt.at)

    def alike(self) -> int:
        """How many requests are open whose results nobody can tell apart, this one included."""
        return self._journal.alike(self.open[0].essence)


class _Row(Struct, frozen=True):
    number: int
    order: int
    state: str
    began: Began


class Journal:
    """The journal of one run, or of one session at a prompt, for the one process that may write it, and any number of
    its threads.

    With ``cut`` it ends where the script asks for something else than it holds, and the run goes on from there. Raises
    a `JournalError` for a file that cannot be used, or that another process holds.
    """

    def __init__(
        self, path: str, head: Head, *, cut: bool = False, lookup: Lookup | None = None, bounds: Bounds | None = None
    ) -> None:
        self.path = path
        self.lookup = lookup or Lookup()
        self.last = 0
        self.claimed: set[str] = set()
        self.cuts = 0
        self._cut = cut
        self._room = Room(path, bounds or Bounds(), prompt=head.prompt)
        self._prompt = head.prompt
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._file: sqlite3.Connection | None = None
        self.facts: Facts
        self._held = Holder(path)
        try:
            self._file = _opened(path)
            with self._told() as file:
                self.facts = _prepared(file, head)
                _check(path, self.facts, head)
                self.script_changed = _last_digest(file) not in {None, digest_of(head.source)}
                self.finished = _finished(file)
                self._forget_last_error(file)
                self._load(file)
                self.run = file.execute(_BEGIN_RUN, (time.time(), digest_of(head.source))).lastrowid
        except BaseException:
            self.close()
            raise

    @property
    def how(self) -> str:
        return f"enter it again behind :journal {self.path}" if self._prompt else "resume with"

    @property
    def answers(self) -> int:
        """How many it holds by now."""
        return len(self._numbers)

    def at(self, order: int) -> tuple[int, str, bytes]:
        """The input that the answer of that order is for, the function that gave it, and its arguments."""
        began = self._ordered[order - 1].began
        return began.task // SPAN, began.function, began.arguments

    def told(self, order: int) -> str:
        """What the answer of that order is the answer to."""
        began = self._ordered[order - 1].began
        return f"{place_of(began.task, began.request, prompt=self._prompt)}: {began}"

    def close(self) -> None:
        with self._lock, suppress(sqlite3.Error):
            if self._file:
                self._file.close()
                self._file = None
        self._held.close()

    def end(self, error: KosmoError | None) -> None:
        """How the run ended: None is well. That it cannot be written is no reason to fail once more."""
        with suppress(JournalError), self._told() as file:
            row = (self.run, time.time(), error is None, error and f"{error.code}: {error.message}")
            file.execute("INSERT INTO ends VALUES (?, ?, ?, ?)", row)

    # For the runtime --------------------------------------------------------------------------------------------

    def start(self) -> dict[str, float]:
        return {"seed": self.facts["seed"], "began": self.facts["began"]}

    def recall(self, asked: Any, turn: int) -> Recorded | None:
        """The answer to this request, while that of order ``turn`` is the next. Raises a `JournalError` where another
        request stands in its place.
        """
        place = (_task_of(asked), asked.number)
        row, (held, *_) = self._rows.get(place), self._open.get(place, [None])
        was = row.began if row else held
        if was is None:
            return None
        now = self._began(asked)
        if not was.asks_like(now):
            self._part(turn, was, now)
            return None
        return self._recorded(row) if row else None

    def begin(self, asked: Any, seen: int) -> Ticket:
        self._room.check()
        began = self._began(asked, time.time(), self._numbers[seen - 1] if 0 < seen <= len(self._numbers) else 0)
        return Ticket(self, began, self._attempts.get((began.task, began.request), ()))

    def finish(self, ticket: Ticket, value: bytes, *, ok: bool) -> None:
        """Take the next answer down. Raises a `JournalError` where that cannot be."""
        began = ticket.began
        if not (ok or ticket.sent or began.function in _WHOLE):
            began = msgspec.structs.replace(began, arguments=unsent(began.digest))
        operation = catalogue.find(began.function)
        secret = began.function in AGAIN or (operation is not None and operation.secret)
        state = "ok" if ok else "unsure" if ticket.unsure else "error"
        fields = (ticket.model, state, None if secret else value, time.time(), ticket.sent)
        with self._told(f"the answer to {began.function} is not in it; resumed, the run looks for it") as file:
            if ticket.finished:
                return
            ticket.finished = True
            self._numbers.append(file.execute(_FINISH, (*msgspec.structs.astuple(began), *fields)).lastrowid or 0)
            self._room.take(began.arguments, fields[2])
            place = (began.task, began.request)
            self._open.pop(place, None)
            self._attempts.pop(place, None)
            if ok and operation:
                self._claim(operation, value)

    def differs(self, order: int, asked: Any) -> JournalError | None:
        """Why the answer of that order does not fit: the script asks for this instead, or for nothing. None where the
        journal was cut there.
        """
        try:
            self._part(order, self._ordered[order - 1].began, self._began(asked) if asked else None)
        except JournalError as error:
            return error
        return None

    # For the gate -----------------------------------------------------------------------------------------------

    def intend(self, ticket: Ticket) -> None:
        """A write that is about to be sent: on disk when this returns."""
        fields = (*msgspec.structs.astuple(ticket.began), ticket.model, ticket.essence, *self.lookup.uptime())
        with self._told("nothing of this call was sent") as file:
            file.execute("PRAGMA synchronous = FULL")
            file.execute(_INTEND, fields)
            self._room.take(ticket.began.arguments)
            file.execute("PRAGMA synchronous = NORMAL")

    def turn(self) -> AbstractContextManager[object]:
        return self._turn if self._open else nullcontext()

    def ended(self, at: float) -> float:
        """The first end of a run, or beginning of the next, after that moment; now where there was none."""
        moments = "SELECT at FROM ends UNION ALL SELECT at FROM runs"
        with self._told() as file:
            (found,) = file.execute(f"SELECT min(at) FROM ({moments}) WHERE at > ?", (at,)).fetchone()  # noqa: S608
        return time.time() if found is None else float(found)

    def alike(self, essence: bytes) -> int:
        with self._lock:
            return sum(each[0].essence == essence for each in self._attempts.values())

    def restore(self, budget: Budget, after: int = 0) -> None:
        """Count what earlier runs have spent, in the rows after that one."""
        with self._told() as file:
            spent(file, budget, after)

    def predictions(self) -> Iterator[tuple[str, Any]]:
        """The answers of earlier runs that show predictions which succeeded, each with its account."""
        shown = [each for each in catalogue.OPERATIONS if each.job == "prediction" and not each.paged]
        names = [name for each in shown for name in each.names]
        rows = (
            "SELECT account, value FROM outcomes WHERE state = 'ok' AND sent AND NOT cut AND value IS NOT NULL "  # noqa: S608
            f"AND instr(value, CAST('succeeded' AS BLOB)) AND function IN ({', '.join('?' * len(names))})"
        )
        with self._told() as file:
            own = self.facts["account"]
            found = [(account or own, decoded(value)) for account, value in file.execute(rows, names)]
        return iter(found)

    def newest(self) -> int:
        """The last row of all, those that were cut included."""
        with self._told() as file:
            (number,) = file.execute("SELECT coalesce(max(number), 0) FROM outcomes").fetchone()
        return int(number)

    # ------------------------------------------------------------------------------------------------------------

    def _began(self, asked: Any, at: float = 0.0, seen: int = 0) -> Began:
        digest, arguments = digested(asked.arguments)
        return Began(_task_of(asked), asked.number, asked.function, asked.account, digest, arguments, at, seen)

    def _recorded(self, row: _Row) -> Recorded:
        with self._told() as file:
            (value,) = file.execute("SELECT value FROM outcomes WHERE number = ?", (row.number,)).fetchone()
        return Recorded(row.order, row.state == "ok", value)

    def _part(self, turn: int, was: Began, now: Began | None) -> None:
        """The script and its journal go different ways. Ends the journal here, or the run."""
        if not self._cut:
            raise _mismatch(self.path, was, now, prompt=self._prompt)
        with self._told() as file:
            first = self._numbers[turn - 1] if turn <= self.last else 1 << 62
            file.execute("UPDATE outcomes SET cut = 1 WHERE number >= ?", (first,))
            file.execute(f"UPDATE intents AS i SET cut = 1 WHERE NOT {_ANSWERED}")  # noqa: S608 - a constant
            self._load(file)
        self.cuts += 1

    def _claim(self, operation: Operation, value: bytes) -> None:
        if operation.proof and operation.proof.how == "listed" and (identifier := id_of(decoded(value))):
            self.claimed.add(identifier)

    def _forget_last_error(self, file: sqlite3.Connection) -> None:
        """Ask again for what failed last, unless the run ended well with it: the script went no further."""
        last = file.execute("SELECT ok FROM ends WHERE run = (SELECT max(number) FROM runs)").fetchone()
        if last and last[0]:
            return
        seen = f"SELECT seen FROM outcomes WHERE NOT cut UNION ALL SELECT seen FROM intents i WHERE {OPEN}"  # noqa: S608
        failed = f"NOT cut AND state IN ('error', 'unsure') AND number > (SELECT coalesce(max(seen), 0) FROM ({seen}))"  # noqa: S608
        rows = file.execute(f"SELECT number, task, request, state FROM outcomes WHERE {failed}").fetchall()  # noqa: S608
        for number, task, request, state in rows:
            file.execute("UPDATE outcomes SET cut = 1 WHERE number = ?", (number,))
            if state == "error":
                file.execute("UPDATE intents SET cut = 1 WHERE task = ? AND request = ?", (task, request))

    def _load(self, file: sqlite3.Connection) -> None:
        names = "task, request, function, account, digest, arguments, at, seen"
        self._rows: dict[tuple[int, int], _Row] = {}
        self._ordered: list[_Row] = []
        self._numbers: list[int] = []
        answered = f"SELECT {names}, number, state FROM outcomes WHERE NOT cut ORDER BY number"  # noqa: S608
        for *began, number, state in file.execute(answered):
            self._numbers.append(number)
            row = _Row(number, len(self._numbers), state, Began(*began))
            self._ordered.append(row)
            self._rows[row.began.task, row.began.request] = row
        self.last = len(self._numbers)
        self._open: dict[tuple[int, int], list[Began]] = {}
        self._attempts: dict[tuple[int, int], list[Intent]] = {}
        meant = f"SELECT {names}, number, essence, boot, uptime FROM intents i WHERE {OPEN} ORDER BY number"  # noqa: S608
        for *fields, number, essence, boot, uptime in file.execute(meant):
            began = Began(*fields)
            place = (began.task, began.request)
            self._open.setdefault(place, []).append(began)
            self._attempts.setdefault(place, []).append(Intent(number, began.at, essence, boot, uptime))
        for function, value in file.execute("SELECT function, value FROM outcomes WHERE state = 'ok' AND sent"):
            operation = catalogue.find(function)
            if operation and value is not None:
                self._claim(operation, value)

    @contextmanager
    def _told(self, what: str = "") -> Iterator[sqlite3.Connection]:
        """The file, alone with it. What SQLite has against it is told in our words."""
        with self._lock:
            if self._file is None:
                raise JournalError(f"the journal {self.path} is closed; {what}")
            try:
                yield self._file
            except (sqlite3.Error, OSError) as error:
                raise unusable(self.path, error, what) from None


# The file ---------------------------------------------------------------------------------------------------------


def _opened(path: str) -> sqlite3.Connection:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = NORMAL")
    except (sqlite3.Error, OSError) as error:
        raise unusable(path, error) from None
    return file


def read_only(path: str) -> sqlite3.Connection:
    """A journal to look at, whoever writes it. Raises a `JournalError`."""
    try:
        if not os.path.isfile(path):
            raise JournalError(f"no journal at {path}", hint="see which there are: kosmo runs list")
        file = sqlite3.connect(
            f"file:{os.path.abspath(path).replace('?', '%3f').replace('#', '%23')}?mode=ro", uri=True
        )
        _check_format(path, file)
    except sqlite3.Error as error:
        raise unusable(path, error) from None
    return file


def _check_format(path: str, file: sqlite3.Connection) -> bool:
    """Whether there is anything in it yet."""
    (mark,), (schema,) = (file.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
    if mark == MARK and schema == SCHEMA:
        _check_content(file)
        return True
    if mark == MARK:
        raise JournalError(
            f"{path} is a journal of schema {schema}; this version knows {SCHEMA}", hint="take a newer one"
        )
    if file.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise JournalError(f"{path} is another program's database, and no journal", hint="name another file")
    return False


def _check_content(file: sqlite3.Connection) -> None:
    """The file is its owner's, and other programs may have written into it: tables, and the types of what they hold."""
    made = {
        text for (text,) in file.execute("SELECT sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite!_%' ESCAPE '!'")
    }
    if made != {text.strip() for text in _TABLES.split(";") if text.strip()}:
        raise _DamagedError("its tables are not those of a journal")
    for table in ("runs", "ends", "intents", "outcomes"):
        columns = file.execute("SELECT name, lower(type) FROM pragma_table_info(?)", (table,)).fetchall()
        wrong = " OR ".join(_is_wrong(name, kind) for name, kind in columns)
        if found := file.execute(f"SELECT rowid FROM {table} WHERE {wrong} LIMIT 1").fetchone():  # noqa: S608
            raise _DamagedError(f"row {found[0]} of its {table} is none")


def _is_wrong(column: str, kind: str) -> str:
    """Said in SQL of what is not of the type that a column is declared with, which SQLite does not mind."""
    kinds = f"'{kind}', 'null'" if column in _MAY_BE_NULL else f"'{kind}'"
    beyond = f" OR abs({column}) > {_MOST_SECONDS}" if kind == "real" else ""
    return f"typeof({column}) NOT IN ({kinds}){beyond}"


def _prepared(file: sqlite3.Connection, head: Head) -> Facts:
    if not _check_format("the file", file):
        facts = {
            "id": os.urandom(6).hex(),
            "script": os.path.abspath(head.script) if os.path.isfile(head.script) else head.script,
            "source": head.source,
            "args": _encode(head.args),
            "account": head.account,
            "emulated": int(head.emulated),
            "prompt": int(head.prompt),
            "directory": os.getcwd(),
            "began": time.time(),
            "seed": random.SystemRandom().randrange(1 << 52),
        }
        rows = "".join(
            f"PRAGMA {name} = {value};" for name, value in (("application_id", MARK), ("user_version", SCHEMA))
        )
        file.executescript(f"BEGIN;{_TABLES}{rows}")
        file.executemany("INSERT INTO facts VALUES (?, ?)", facts.items())
        file.execute("COMMIT")
    return facts_of(file)


def facts_of(file: sqlite3.Connection) -> Facts:
    facts = {"account": DEFAULT_ACCOUNT, **dict(file.execute("SELECT name, value FROM facts"))}
    try:
        return msgspec.convert(
            {**facts, "args": decoded(facts.get("args", b"\xc0"))}, type=Facts, builtin_types=(bytes,)
        )
    except msgspec.ValidationError as error:
        raise _DamagedError(f"its facts are none: {error}") from None


def decoded(data: bytes) -> Any:
    """MessagePack that a journal holds."""
    try:
        return msgspec.msgpack.decode(data)
    except NO_DATA as error:
        raise _DamagedError(f"what it holds is no data: {error}") from None


def _finished(file: sqlite3.Connection) -> float | None:
    """When the last run ended, if it ended well."""
    row = file.execute("SELECT at, ok FROM ends WHERE run = (SELECT max(number) FROM runs)").fetchone()
    return float(row[0]) if row and row[1] else None


def _last_digest(file: sqlite3.Connection) -> str | None:
    """Of the script as it was run last."""
    row = file.execute("SELECT digest FROM runs ORDER BY number DESC LIMIT 1").fetchone()
    return row[0] if row else None


def _check(path: str, facts: Mapping[str, Any], head: Head) -> None:
    if is_of_a_prompt(facts) != head.prompt:
        raise _of_a_script(path, facts) if head.prompt else of_a_prompt(path, emulated=bool(facts["emulated"]))
    if facts["args"] != head.args:
        raise JournalError(
            f"{path} is of a run with the arguments {facts['args']}, and now they are {head.args}",
            hint="give the same, or take another journal",
        )
    if bool(facts["emulated"]) != head.emulated:
        was = "the emulator" if facts["emulated"] else "the API itself"
        raise JournalError(f"{path} is of a run against {was}", hint="take --emulate as then, or another journal")
    if not head.prompt and facts["account"] != head.account:
        raise JournalError(
            f"{path} is of a run on the account {facts['account']}, and now it is {head.account}",
            hint=f"take --account {facts['account']} as then, or another journal",
        )


def is_of_a_prompt(facts: Mapping[str, Any]) -> bool:
    return bool(facts.get("prompt"))


def of_a_prompt(path: str, *, emulated: bool) -> JournalError:
    """Told to who would run a script on it."""
    emulate = " --emulate" if emulated else ""
    return JournalError(
        f"{path} is of inputs at the prompt, and not of a script",
        hint=f"go on with it at the prompt: kosmo repl --journal {path}{emulate}; or take another journal",
    )


def _of_a_script(path: str, facts: Mapping[str, Any]) -> JournalError:
    return JournalError(
        f"{path} is of a run of the script {facts['script']}, and not of inputs at the prompt",
        hint=f"go on with it: kosmo runs resume {path}; or take another journal",
    )


def spent(file: sqlite3.Connection, budget: Budget, after: int = 0, now: float | None = None) -> None:
    """Count what the calls of a journal have spent in the rows after that one, those that were cut off too. What nobody
    has seen end counts up to ``now``, in Unix seconds.
    """
    now = time.time() if now is None else now
    rows = (
        "SELECT function, account, model, at, state, value FROM outcomes "
        "WHERE sent AND NOT (cut AND state = 'unsure') AND number > ? ORDER BY number"
    )
    own = facts_of(file)["account"]
    for function, account, model, at, state, value in file.execute(rows, (after,)):
        operation = catalogue.find(function)
        if operation:
            data = decoded(value) if state == "ok" and value is not None else None
            budget.restore(operation, model, account or own, now - at, data, taken=state != "error")


def unusable(path: str, error: Exception, what: str = "") -> JournalError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    hint = "is there room on the disk, and may the file be written? What is in it stays good"
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in str(error):
        hint = "it is no journal: name another file"
    elif isinstance(error, _DamagedError):
        hint = "something else has written into it: name another file"
    return JournalError(f"cannot use the journal {path}: {why}" + (f"; {what}" if what else ""), hint=hint)


def _mismatch(path: str, was: Began, now: Began | None, *, prompt: bool) -> JournalError:
    here, there = (place_of(each.task, each.request, prompt=prompt) if each else "" for each in (was, now))
    elsewhere = f"{there}: " if there not in {"", here} else ""
    who = "input" if prompt else "script"
    hint = "has the script or its input changed? To go on from here with the script: --from-here"
    if prompt:
        hint = f"enter what was entered then; or go on from here with the inputs: :journal {path} --from-here"
    return JournalError(
        f"the {who} goes another way than its journal {path}, at {here}; nothing was sent\n"
        f"  the journal: {was}\n  {f'the {who}:':<12} {elsewhere}{now or 'asks for nothing more'}",
        hint=hint,
    )


def place_of(task: int, request: int, *, prompt: bool = False) -> str:
    """Where a request stands; at a prompt by its input, counted over those that asked for anything."""
    number, task = divmod(task, SPAN)
    words = [f"input {number + 1}"] * prompt + [f"task {task}"] * (task > 0) + [f"request {request}"]
    return ", ".join(words)


def _task_of(asked: Any) -> int:
    return int(asked.input * SPAN + asked.task)


def _essence(operation: Operation, arguments: Mapping[str, Any]) -> bytes:
    """What a call asks for, without how its answer is waited for and told."""
    apart = {each.name for each in operation.parameters if each.place == "header"}
    asked = {name: value for name, value in arguments.items() if name not in apart | _MANNER}
    return hashlib.sha256(_sorted((operation.name, asked))).digest()


def digested(arguments: bytes) -> tuple[bytes, bytes]:
    """What two equal calls have in common, in whatever order their names come; and as much as is kept of them."""
    try:
        found = msgspec.msgpack.decode(arguments)
        digest = hashlib.sha256(_sorted(found)).digest()
    except NO_DATA:  # it is told where arguments are checked
        return hashlib.sha256(arguments).digest(), b"\xc0"
    if len(arguments) > MAX_KEPT:
        arguments = _encode(_without_bytes(found))
    return digest, arguments if len(arguments) <= MAX_KEPT else _encode(f"{len(arguments)} bytes")


def shown(arguments: bytes) -> str:
    """Arguments as a person may want to see them."""
    try:
        found = msgspec.msgpack.decode(arguments, ext_hook=extension)
        text = msgspec.json.encode(_without_bytes(found), order="sorted").decode()
    except NO_DATA:  # a script's process may have sent them, or another program written them
        return "what is no data"
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 1] + "…"


def _without_bytes(value: Any) -> Any:
    match value:
        case bytes():
            return f"{len(value)} bytes, sha256:{hashlib.sha256(value).hexdigest()}"
        case LocalFile():
            return f"file:{value.path}"
        case msgspec.msgpack.Ext():
            return f"an extension of type {value.code}"
        case dict():
            return {name: _without_bytes(item) for name, item in value.items()}
        case list():
            return [_without_bytes(item) for item in value]
    return value


def digest_of(source: bytes) -> str:
    return f"sha256:{hashlib.sha256(source).hexdigest()}"
