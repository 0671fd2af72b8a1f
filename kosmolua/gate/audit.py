"""The record of every call that was decided, over all runs: ``audit.jsonl`` in the state directory.

Who called what, on which account, what was decided by which rule, and what came of it; no inputs, no answers, no
secrets. The file is its owner's alone. Full, it becomes ``audit.jsonl.1``, and the oldest of several goes.

A run cannot push out the records of others: equal refusals are one entry with a ``count``, and every run has a share,
beyond which its calls are only counted.
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

from kosmolua.settings import paths

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry

NAME = "audit.jsonl"
MAX_SIZE = 10 * 1024 * 1024  # bytes
KEPT = 5  # files beside the one that is written to
LOOKS = 160  # how often its size is looked at while one process fills it
SHARE = 2 * 1024 * 1024  # bytes of a run's entries, some 7,000 calls; all together are a tenth of what is kept
WRITES = 2  # shares beside it for writes, so that polls do not use up the room for what cost something
RENEWAL = 24 * 3600.0  # seconds after which a run that lasts has a new share
UNRECORDED = "unrecorded"  # the outcome of an entry that counts calls beyond the share
_MERGED = 2000  # bytes that the lines of one kind of refusal take at most
_MERGED_OUTCOMES = frozenset({"refused", UNRECORDED})
_KIND = ("run", "function", "account", "decision", "rule", "by", "outcome", "code")  # what equal refusals share
_BEYOND = "further calls of this run, beyond its share of this record"


class Origin(Struct, frozen=True, omit_defaults=True):
    """What all calls of a run have in common. ``digest`` is that of the script's text."""

    run: str
    script: str | None = None
    digest: str | None = None
    emulated: bool = False


class Audit:
    """Appends entries to the file, whole lines with each write, so that those of many processes stay whole.

    If it cannot, ``warn`` is told why, once, and the calls go on. ``share`` is how many bytes the run may fill in a
    ``RENEWAL``.
    """

    def __init__(
        self, path: str, origin: Origin, warn: Callable[[str], None], max_size: int = MAX_SIZE, share: int = SHARE
    ) -> None:
        self._path = path
        self._head = msgspec.json.encode(origin)[:-1] + b","
        self._warn = warn
        self._max_size = max_size
        self._file: int | None = None
        self._unseen = max_size  # bytes that may have been written since its size was looked at
        self._failed = False
        self._lock = threading.RLock()
        self._lines: deque[bytes] = deque()
        self._share = Share(share)
        self._counting = threading.Lock()

    def write(self, entry: Entry) -> None:
        """Append one call. For any number of threads: who comes while another writes leaves the line to that one."""
        line: bytes | None
        if entry.outcome == "refused":
            with self._counting:
                line = self._share.merged(entry)
        else:
            line = msgspec.json.encode(entry)
            if not self._share.takes(entry, len(self._head) + len(line)):
                with self._counting:
                    line = self._share.beyond(entry)
        if line:
            self._append(line)

    def _append(self, line: bytes) -> None:
        self._lines.append(self._head + line[1:] + b"\n")
        while self._lines and self._lock.acquire(blocking=False):
            try:
                self._put([self._lines.popleft() for _ in range(len(self._lines))])
            finally:
                self._lock.release()

    def _put(self, lines: list[bytes]) -> None:
        if self._failed:
            return
        try:
            file = self._open() if self._file is None else self._file
            if self._unseen >= self._max_size // LOOKS:
                self._unseen = 0
                if os.fstat(file).st_size >= self._max_size:
                    file = self._rotate(file)
            self._unseen += os.write(file, b"".join(lines))
        except OSError as error:
            self._failed = True
            self._warn(f"calls are not recorded: cannot write {self._path}: {error.strerror}")

    def abandon(self) -> None:
        """In a forked process, where the lock may be held by a thread that is not there."""
        self._close()

    def close(self) -> None:
        """Write down what was only counted so far."""
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
        """Make room, unless another process has done so meanwhile."""
        with open(f"{self._path}.lock", "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_current(file):
                for number in range(KEPT, 0, -1):
                    older = f"{self._path}.{number}"
                    newer = f"{self._path}.{number - 1}" if number > 1 else self._path
                    if os.path.exists(newer):
                        os.replace(newer, older)
            return self._open()  # under the lock, so that whoever has it next finds the new file

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), os.stat(self._path))
        except FileNotFoundError:  # somebody took it away
            return False


class Share:
    """What one run may still write, and the calls that are counted instead of written one by one."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._used = self._used_by_writes = 0
        self._until = 0.0
        self._counts: dict[tuple[Any, ...], Count] = {}

    def takes(self, entry: Entry, size: int) -> bool:
        """Whether an entry of that many bytes is written. What was sent and may have cost something has room of its
        own.
        """
        if entry.at >= self._until:
            self._used, self._used_by_writes, self._until = 0, 0, entry.at + RENEWAL
        if (entry.access == "write" and entry.status) or entry.cost is not None:
            self._used_by_writes += size
            return self._used_by_writes <= WRITES * self._size
        self._used += size
        return self._used <= self._size

    def merged(self, entry: Entry) -> bytes | None:
        """What is to be written for a call that was refused, if anything: equal ones are one entry."""
        key = (entry.function, entry.account, entry.decision, entry.rule, entry.by, entry.code)
        count = self._counts.get(key)
        if count is None:
            if not self.takes(entry, _MERGED):
                return self.beyond(entry)
            count = self._counts[key] = Count(entry)
        return count.add(entry)

    def beyond(self, entry: Entry) -> bytes | None:
        """What is to be written for a call that there is no room for: how many there were."""
        count = self._counts.get(())
        if count is None:
            summary = type(entry)("", "", "", entry.at, outcome=UNRECORDED, note=_BEYOND)
            count = self._counts[()] = Count(summary, by_outcome=True)
        return count.add(entry)

    def counted(self) -> list[bytes]:
        """What has been counted and not been written yet."""
        return [line for count in self._counts.values() if (line := count.line())]


class Count:
    """Calls that are one entry. A line has those since the last line: the first call, the tenth, the hundredth, and so
    on have one at once, so that a process which is killed loses no more than that.
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
        self._cost += Decimal(repr(entry.cost or 0))
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
    """Every entry, oldest first. What is no entry, such as a line that was cut, is passed over."""
    for file in (*(f"{path}.{number}" for number in range(KEPT, 0, -1)), path):
        try:
            with open(file, "rb") as opened:
                yield from filter(None, map(_entry, opened))
        except FileNotFoundError:
            continue


def merged(entries: Iterable[dict[str, Any]], limit: int = 0) -> list[dict[str, Any]]:
    """The last entries, each kind of refusal and the calls that were not recorded as one of each run, with how many
    there were and when the first and the last.
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
    """Count an entry to an earlier one of its kind."""
    first["count"] = _number(first.get("count", 1)) + _number(entry.get("count", 1))
    first["last"] = entry.get("last", entry["at"])
    if entry.get("cost"):
        first["cost"] = cost_of((first, entry))
    told = entry.get("outcomes")
    if isinstance(told, dict):
        outcomes = first.setdefault("outcomes", {})
        for name, count in told.items():
            outcomes[name] = _number(outcomes.get(name, 0)) + _number(count)


def cost_of(entries: Iterable[dict[str, Any]]) -> float:
    """What the calls cost together, as far as that is known."""
    costs = (entry.get("cost") for entry in entries)
    return float(sum((Decimal(repr(cost)) for cost in costs if isinstance(cost, int | float)), Decimal(0)))


def _number(value: Any) -> int:
    """The file is its owner's, and may hold anything."""
    return value if isinstance(value, int) else 1


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("at"), int | float) else None
