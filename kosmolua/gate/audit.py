"""The audit log, with every decided call of all runs: ``audit.jsonl`` in the state directory.

An entry has the caller, the function, the account, the decision, its rule and the outcome; no inputs, answers or
secrets. Only the owner can read the file. A full file is renamed to ``audit.jsonl.1``, and the oldest is deleted.

A run cannot crowd out the entries of other runs: equal refusals share one entry with a ``count``, and every run has a
share of the file. Calls beyond that share are only counted.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from kosmolua.errors import NONE_LEFT
from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry

NAME = "audit.jsonl"
MAX_SIZE = 10 * 1024 * 1024  # bytes
KEPT = 5  # rotated files besides the current one
LOOKS = 160  # number of size checks while one process fills the file
SHARE = 2 * 1024 * 1024  # bytes of a run's entries, about 7,000 calls; with the shares for writes, a tenth of all files
WRITES = 2  # extra shares for writes, so that polls do not use up the room for calls that cost money
RENEWAL = 24 * 3600.0  # seconds after which a long run gets a new share
UNRECORDED = "unrecorded"  # the outcome of an entry that counts calls beyond the share
_MERGED = 2000  # maximum bytes for the lines of one kind of refusal
_MERGED_OUTCOMES = frozenset({"refused", UNRECORDED})
_KIND = ("run", "function", "account", "decision", "rule", "by", "outcome", "code")  # shared by equal refusals
_encode = msgspec.json.Encoder().encode
_BEYOND = "further calls of this run, beyond its share of this record"


class Origin(Struct, frozen=True, omit_defaults=True):
    """What all calls of a run share. ``digest`` is the digest of the script's text."""

    run: str
    script: str | None = None
    digest: str | None = None
    emulated: bool = False


class Audit:
    """Appends entries to the file. Each write consists of whole lines, so that lines from different processes do not
    mix.

    If writing fails, ``warn`` gets the reason once, and calls continue. ``share`` is how many bytes the run may write
    per ``RENEWAL``.
    """

    def __init__(
        self, path: str, origin: Origin, warn: Callable[[str], None], max_size: int = MAX_SIZE, share: int = SHARE
    ) -> None:
        self._path = path
        script = origin.script and origin.script.encode(errors="replace").decode()  # a file name need not be UTF-8
        self._head = msgspec.json.encode(msgspec.structs.replace(origin, script=script))[:-1] + b","
        self._warn = warn
        self._max_size = max_size
        self._file: int | None = None
        self._unseen = max_size  # bytes that may have been written since the last size check
        self._failed = False
        self._lock = threading.RLock()
        self._lines: deque[bytes] = deque()
        self._share = Share(share)
        self._counting = threading.Lock()

    def open(self) -> None:
        """Open the file before the first call. Raises an OSError if no file descriptor is left: no calls are made then,
        since the user can fix that. Any other failure only causes a warning.
        """
        try:
            self._open()
        except OSError as error:
            if error.errno in NONE_LEFT:
                raise
            self._fail(error)

    def write(self, entry: Entry) -> None:
        """Append one call. Thread-safe: if another thread is writing, that thread writes this line too."""
        if entry.outcome != "refused":
            line = _encode(entry)
            if self._share.takes(entry, len(self._head) + len(line)):
                self._append(line)
                return
        with self._counting:
            counted = self._share.merged(entry) if entry.outcome == "refused" else self._share.beyond(entry)
        if counted:
            self._append(counted)

    def _append(self, line: bytes) -> None:
        line = b"".join((self._head, line[1:], b"\n"))
        if self._lock.acquire(blocking=False):
            try:
                self._put(line)
            finally:
                self._lock.release()
        else:
            self._lines.append(line)
        while self._lines and self._lock.acquire(blocking=False):
            try:
                self._put(b"".join([self._lines.popleft() for _ in range(len(self._lines))]))
            finally:
                self._lock.release()

    def _put(self, lines: bytes) -> None:
        if self._failed:
            return
        try:
            file = self._open() if self._file is None else self._file
            if self._unseen >= self._max_size // LOOKS:
                self._unseen = 0
                if os.fstat(file).st_size >= self._max_size:
                    file = self._rotate(file)
            self._unseen += os.write(file, lines)
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        self._failed = True
        self._warn(f"calls are not recorded: cannot write {self._path}: {error.strerror}")

    def abandon(self) -> None:
        """Close the file in a forked process, where a thread that no longer exists may hold the lock."""
        self._close()

    def close(self) -> None:
        """Write the remaining counts, and close the file."""
        with self._counting:
            left = self._share.counted()
        for line in left:
            self._append(line)
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> int:
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
        opened = os.open(self._path, flags, 0o600)
        os.fchmod(opened, 0o600)
        self._close()
        self._file, self._unseen = opened, self._max_size
        return opened

    def _rotate(self, file: int) -> int:
        """Rotate the files, unless another process has just done so."""
        with open(f"{self._path}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_current(file):
                for number in range(KEPT, 0, -1):
                    older = f"{self._path}.{number}"
                    newer = f"{self._path}.{number - 1}" if number > 1 else self._path
                    if os.path.exists(newer):
                        os.replace(newer, older)
            return self._open()  # under the lock, so that the next process that holds it finds the new file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:  # another program deleted the file
            return False


class Share:
    """How much one run may still write, and the calls that are only counted."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = self._used_by_writes = 0
        self._until = 0.0
        self._counts: dict[tuple[Any, ...], Count] = {}

    def takes(self, entry: Entry, size: int) -> bool:
        """Whether there is room for an entry of this size. Calls that may have cost money have a separate share."""
        if entry.at >= self._until:
            self._used, self._used_by_writes, self._until = 0, 0, entry.at + RENEWAL
        if (entry.access == "write" and entry.status) or entry.cost is not None:
            self._used_by_writes += size
            return self._used_by_writes <= WRITES * self._size
        self._used += size
        return self._used <= self._size

    def merged(self, entry: Entry) -> bytes | None:
        """The line to write for a refused call, if any: equal refusals share one entry."""
        key = (entry.function, entry.account, entry.decision, entry.rule, entry.by, entry.code)
        count = self._counts.get(key)
        if count is None:
            if not self.takes(entry, _MERGED):
                return self.beyond(entry)
            count = self._counts[key] = Count(entry)
        return count.add(entry)

    def beyond(self, entry: Entry) -> bytes | None:
        """The line to write for a call beyond the share, if any: it counts such calls."""
        count = self._counts.get(())
        if count is None:
            summary = type(entry)("", "", "", entry.at, outcome=UNRECORDED, note=_BEYOND)
            count = self._counts[()] = Count(summary, by_outcome=True)
        return count.add(entry)

    def counted(self) -> list[bytes]:
        """The lines for counts that have not been written yet."""
        return [line for count in self._counts.values() if (line := count.line())]


class Count:
    """Calls that share one entry. A line counts the calls since the previous line. The 1st, 10th, 100th, … call is
    written at once, to limit what a killed process loses.
    """

    def __init__(self, entry: Entry, *, by_outcome: bool = False) -> None:
        self._entry = entry
        self._by_outcome = by_outcome
        self._all = self._new = 0
        self._due = 1
        self._first = self._last = entry.at
        self._outcomes: dict[str, int] = {}
        self._cost = Decimal(0)

    def add(self, entry: Entry) -> bytes | None:
        if not self._new:
            self._first = entry.at
        self._last = entry.at
        self._new += 1
        self._all += 1
        if entry.cost:
            self._cost += Decimal(repr(entry.cost))
        if self._by_outcome:
            self._outcomes[entry.outcome] = self._outcomes.get(entry.outcome, 0) + 1
        if self._all < self._due:
            return None
        self._due *= 10
        return self.line()

    def line(self) -> bytes | None:
        if not self._new:
            return None
        entry: dict[str, Any] = {**msgspec.to_builtins(self._entry), "at": self._first}
        entry.pop("run", None)  # the head of the line has the run
        if self._new > 1 or self._by_outcome:
            entry |= {"count": self._new, "last": self._last}
        if self._outcomes:
            entry["outcomes"] = self._outcomes
        if self._cost:
            entry["cost"] = float(self._cost)
        self._new, self._outcomes, self._cost = 0, {}, Decimal(0)
        return msgspec.json.encode(entry)


def file_of(environment: Mapping[str, str]) -> str:
    return os.path.join(paths.state_directory(environment), NAME)


def read(path: str) -> Iterator[dict[str, Any]]:
    """Every entry, oldest first. Invalid lines, such as truncated ones, are skipped."""
    for file in (*(f"{path}.{number}" for number in range(KEPT, 0, -1)), path):
        try:
            with open(file, "rb") as opened:
                yield from filter(None, map(_entry, opened))
        except FileNotFoundError:
            continue


def merged(entries: Iterable[dict[str, Any]], limit: int = 0) -> list[dict[str, Any]]:
    """The last entries. For each run, refusals of one kind are merged into one entry, and so are unrecorded calls; a
    merged entry has the number of calls and the times of the first and last.
    """
    found: deque[dict[str, Any]] = deque(maxlen=limit or None)
    kinds: dict[tuple[Any, ...], dict[str, Any]] = {}
    for entry in entries:
        if entry.get("outcome") in _MERGED_OUTCOMES:
            first = kinds.setdefault(tuple(str(entry.get(name)) for name in _KIND), entry)
            if first is not entry:
                _add(first, entry)
                continue
        found.append(entry)
    return list(found)


def _add(first: dict[str, Any], entry: dict[str, Any]) -> None:
    """Add an entry's counts to an earlier entry of its kind."""
    first["count"] = _number(first.get("count", 1)) + _number(entry.get("count", 1))
    first["last"] = entry.get("last", entry["at"])
    if entry.get("cost"):
        first["cost"] = cost_of((first, entry))
    added = entry.get("outcomes")
    if isinstance(added, dict):
        outcomes = first.setdefault("outcomes", {})
        for name, count in added.items():
            outcomes[name] = _number(outcomes.get(name, 0)) + _number(count)


def cost_of(entries: Iterable[dict[str, Any]]) -> float:
    """The total known cost of the calls."""
    costs = (entry.get("cost") for entry in entries)
    return float(sum((Decimal(repr(cost)) for cost in costs if isinstance(cost, int | float)), Decimal(0)))


def _number(value: Any) -> int:
    """The value if it is an integer, else 1: the owner can edit the file, so a value may have any type."""
    return value if isinstance(value, int) else 1


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("at"), int | float) else None
