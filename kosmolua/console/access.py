"""Who may use the console: roles, secrets, sessions, and the rate of sign-in attempts."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Literal

from msgspec import Struct

from kosmolua.errors import ConfigurationError
from kosmolua.replicate.token import quoted

Role = Literal["read", "approve"]
ROLES: tuple[Role, ...] = ("read", "approve")
LEAST = 16  # the minimum characters of a secret
LIFETIME = 12 * 3600.0  # seconds after which a session ends
IDLE = 2 * 3600.0  # seconds without a request after which a session ends
MAX_SESSIONS = 1_000
BURST, REFILL = 5, 12.0  # sign-in attempts that one address may make at once, and seconds until another one
BURST_OF_ALL, REFILL_OF_ALL = 60, 1.0  # the same for all addresses together
_MAX_ADDRESSES = 10_000
_MAX_FILE = 65_536


class Secret(Struct, frozen=True):
    """A secret, what it allows, and the name of its owner."""

    role: Role
    name: str
    value: str


class Visitor(Struct, frozen=True):
    """The sender of a request. ``csrf`` is the token in each of the visitor's forms; ``session`` is empty if the
    console has no login.
    """

    role: Role
    name: str
    csrf: str
    session: str = ""

    @property
    def may_approve(self) -> bool:
        return self.role == "approve"


def made() -> list[Secret]:
    """A new secret for each role."""
    return [Secret(role, role, secrets.token_urlsafe(24)) for role in ROLES]


def read(path: str) -> list[Secret]:
    """The secrets in a file, which has a role, optionally a name, and a secret on each line. Raises a
    `ConfigurationError`.
    """
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_MAX_FILE).decode()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "the file is not UTF-8 text"
        raise ConfigurationError(f"--secret-file: cannot read {quoted(path)}: {why}", hint=_HINT) from None
    if stat.S_IMODE(mode) & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigurationError(
            f"--secret-file: all users can read or write {quoted(path)}", hint="make it private: chmod 600 FILE"
        )
    found = [_secret(path, number, line.split()) for number, line in enumerate(text.splitlines(), 1) if _says(line)]
    if not found:
        raise ConfigurationError(f"--secret-file: no secrets in {quoted(path)}", hint=_HINT)
    return found


_HINT = "write lines such as: approve alice SECRET; make a secret: openssl rand -base64 24"


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _secret(path: str, number: int, words: Sequence[str]) -> Secret:
    role = next((role for role in ROLES if words[0] == role), None)
    if role is None or len(words) not in (2, 3):
        expected = "expected ROLE SECRET or ROLE NAME SECRET, where ROLE is read or approve"
        raise ConfigurationError(f"--secret-file: {quoted(path)}, line {number}: {expected}", hint=_HINT)
    if len(words[-1]) < LEAST:
        what = f"{quoted(path)}, line {number}: the secret has {len(words[-1])} characters, expected at least {LEAST}"
        raise ConfigurationError(f"--secret-file: {what}", hint=_HINT)
    return Secret(role, words[1] if len(words) == 3 else role, words[-1])  # noqa: PLR2004 - with a name


def matching(known: Sequence[Secret], given: str) -> Secret | None:
    """The known secret that equals the given one, or None. The comparison takes constant time."""
    digest = hashlib.sha256(given.encode(errors="replace")).digest()
    found = None
    for each in known:
        if hmac.compare_digest(hashlib.sha256(each.value.encode()).digest(), digest):
            found = each
    return found


# Sessions ---------------------------------------------------------------------------------------------------------


class _Session(Struct):
    visitor: Visitor
    began: float
    used: float


class Sessions:
    """The sessions of visitors who have signed in. They are kept in memory, so a restart ends all of them.
    Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: OrderedDict[str, _Session] = OrderedDict()

    def begin(self, secret: Secret) -> Visitor:
        """Begin a session. If there are too many, the least recently used one ends."""
        visitor = Visitor(secret.role, secret.name, secrets.token_urlsafe(24), secrets.token_urlsafe(32))
        now = self._clock()
        with self._lock:
            self._sessions[visitor.session] = _Session(visitor, now, now)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        return visitor

    def find(self, session: str) -> Visitor | None:
        now = self._clock()
        with self._lock:
            found = self._sessions.get(session)
            if found is None:
                return None
            if now - found.began > LIFETIME or now - found.used > IDLE:
                del self._sessions[session]
                return None
            found.used = now
            self._sessions.move_to_end(session)
            return found.visitor

    def end(self, session: str) -> None:
        with self._lock:
            self._sessions.pop(session, None)


class Attempts:
    """Limits how often one address, and all addresses together, may try to sign in. Each has a bucket of attempts that
    refills. Thread-safe.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._due: OrderedDict[str, float] = OrderedDict()  # address -> when its bucket is full again
        self._due_of_all = 0.0

    def wait(self, address: str) -> float:
        """Count an attempt. Returns 0 if it is allowed, otherwise the seconds until the next one is."""
        now, key = self._clock(), network_of(address)
        with self._lock:
            own, of_all = max(now, self._due.get(key, 0.0)) + REFILL, max(now, self._due_of_all) + REFILL_OF_ALL
            wait = max(own - now - BURST * REFILL, of_all - now - BURST_OF_ALL * REFILL_OF_ALL)
            if wait > 0:
                return wait
            self._due[key], self._due_of_all = own, of_all
            self._due.move_to_end(key)
            while len(self._due) > _MAX_ADDRESSES:
                self._due.popitem(last=False)
        return 0.0


def network_of(address: str) -> str:
    """The address; for an IPv6 address, its /64 network, since one machine may have a whole /64."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or f"{int(found) >> 64:x}")
    return str(found)
