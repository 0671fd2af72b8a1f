"""The files that a script may never use, whatever its directories: files of kosmolua, of the run and of the kernel.

The opened file is checked: its file system, its device and inode, and those of every directory above it. So links, bind
mounts, ``..`` and other spellings of a name cannot bypass the check.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property

from kosmolua.errors import PermissionDeniedError
from kosmolua.settings import paths

PROJECT = os.path.dirname(paths.PROJECT_FILE)  # .kosmo
_IN_PROJECT = f"it is in a {PROJECT} directory, which contains a project's settings"
_JOURNAL_SUFFIXES = ("", "-wal", "-shm", "-journal", "-lock")
_KINDS = {stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
          stat.S_IFDIR: "a directory", stat.S_IFLNK: "a link"}  # fmt: skip
# Linux file systems that expose the state of the kernel and of processes; linux/magic.h.
_KERNEL = {
    0x9FA0: "proc", 0x62656572: "sysfs", 0x0027E0EB: "cgroup", 0x63677270: "cgroup2", 0x64626720: "debugfs",
    0x74726163: "tracefs", 0x73636673: "securityfs", 0xF97CFF8C: "selinuxfs", 0x43415D53: "smackfs",
    0xCAFE4A11: "bpf", 0x1CD1: "devpts", 0x6165676C: "pstore", 0xDE5E81E4: "efivarfs", 0x62656570: "configfs",
    0x42494E4D: "binfmt_misc", 0x6E736673: "nsfs", 0x534F434B: "sockfs", 0x50495045: "pipefs",
    0x09041934: "anon_inode", 0x65735543: "fusectl", 0x7655821: "resctrl", 0x5A3C69F0: "apparmorfs",
}  # fmt: skip

Identity = tuple[int, int]


class Reserved:
    """The reserved files. ``own`` are paths and descriptions of files that the host writes for this run; SQLite keeps
    more files next to a "journal". Raises a `PermissionDeniedError` for a reserved file, an OSError if a check fails.
    """

    def __init__(self, environment: Mapping[str, str], own: Sequence[tuple[str, str]] = (), base: str = "") -> None:
        self._environment = environment
        self._base = base or os.getcwd()
        self._given = own

    @cached_property
    def _directories(self) -> list[tuple[str, str]]:
        """The reserved directories, determined on first use: most runs use no files."""
        return _directories(self._environment, self._base)

    def check_directory(self, path: str, directory: int) -> None:
        """Refuse a path whose open directory is reserved or below a reserved one."""
        _check_file_system(path, directory)
        known, below = self._known(deep=False), None
        for here, place in _above(directory):
            if here in known:
                raise refusal(path, known[here])
            if below and _identity_at(os.path.join(place, PROJECT), directory) == below:
                raise refusal(path, _IN_PROJECT)
            below = here

    def check_name(self, path: str, real: str) -> None:
        """Refuse a path through ``.kosmo`` in any capitalization, whether it exists or not."""
        if PROJECT in map(str.casefold, real.split(os.sep)):
            raise refusal(path, _IN_PROJECT)

    def check_file(self, path: str, file: int, directory: int) -> None:
        """Refuse a reserved open file. Its directory has been checked."""
        _check_file_system(path, file)
        found = os.fstat(file)
        # A file with one link, on the mount of its directory, has no other path.
        elsewhere = found.st_nlink > 1 or _mount(file) != _mount(directory)
        known = {**self._known(deep=elsewhere), **self._own_files()}
        if why := known.get(_identity(found)):
            raise refusal(path, why)

    def check_new(self, path: str, directory: int, name: str) -> None:
        """Refuse a reserved name in an open, checked directory, even if the file does not exist."""
        parent = _identity(os.fstat(directory))
        for file, what in (*self._own, *self._all_directories):
            same_name = os.path.basename(file).casefold() == name.casefold()
            if same_name and _identity_at(os.path.dirname(file)) == parent:
                raise refusal(path, what)

    def check_target(self, path: str, directory: int, name: str) -> None:
        """Refuse a reserved name for writing in an open, checked directory."""
        self.check_new(path, directory, name)
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISREG(found.st_mode):
            raise refusal(path, f"it is {kind_of(found.st_mode)}, not a regular file")
        known = {**self._known(deep=found.st_nlink > 1), **self._own_files()}
        if why := known.get(_identity(found)):
            raise refusal(path, why)

    @property
    def _own(self) -> Iterator[tuple[str, str]]:
        """The run's own files. Computed on each use: at a prompt, a journal can be started at any time."""
        for path, what in self._given:
            for suffix in _JOURNAL_SUFFIXES if "journal" in what else ("",):
                yield os.path.abspath(path + suffix), f"it is {what}"

    @property
    def _all_directories(self) -> Iterator[tuple[str, str]]:
        yield from self._directories
        for path, what in self._given:
            if "journal" in what:
                yield paths.outputs_of(path), f"it belongs to {what}"

    def _own_files(self) -> dict[Identity, str]:
        found = ((_identity_at(file), what) for file, what in self._own)
        return {identity: what for identity, what in found if identity}

    def _known(self, *, deep: bool) -> dict[Identity, str]:
        """The reserved directories and their entries; with ``deep``, also the entries of subdirectories."""
        known: dict[Identity, str] = {}
        for path, what in self._all_directories:
            here = _identity_at(path)
            if here and here not in known:
                known[here] = what
                known.update(_inside(path, what, deep=deep))
        return known


def kind_of(mode: int) -> str:
    """The kind of a file that is not regular."""
    return _KINDS.get(stat.S_IFMT(mode), "a file of unknown kind")


def refusal(path: str, why: str) -> PermissionDeniedError:
    return PermissionDeniedError(
        f"{path!r} is not available to scripts: {why}",
        hint="choose another file, or copy what the script needs into another directory",
    )


def _directories(environment: Mapping[str, str], base: str) -> list[tuple[str, str]]:
    """The configured and the default directories, and ``.kosmo`` of the surrounding projects."""
    defaults = {name: value for name, value in environment.items() if not name.startswith("KOSMO_")}
    plain = {name: value for name, value in defaults.items() if not name.startswith("XDG_")}
    kinds = {
        "configuration": paths.config_directory,
        "state": paths.state_directory,
        "cache": paths.cache_directory,
    }
    found = {
        place(each): f"it belongs to kosmolua's {what} directory"
        for what, place in kinds.items()
        for each in (environment, defaults, plain)
    }
    projects = {os.path.dirname(file): _IN_PROJECT for file in paths.candidates(base)}
    return [*found.items(), *projects.items()]


def _inside(directory: str, what: str, *, deep: bool) -> Iterator[tuple[Identity, str]]:
    """The entries of a directory. Links are followed, since settings may be links to files elsewhere."""
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(directory) as entries:
        device = os.stat(directory).st_dev
        for entry in entries:
            with suppress(OSError):
                yield _identity(entry.stat()) if entry.is_symlink() else (device, entry.inode()), what
            if deep and entry.is_dir(follow_symlinks=False):
                yield from _inside(entry.path, what, deep=True)


def _above(directory: int) -> Iterator[tuple[Identity, str]]:
    """An open directory and its parents, as paths relative to it."""
    place, before = ".", None
    while (here := _identity(os.stat(place, dir_fd=directory))) != before:
        yield here, place
        place, before = os.path.join(place, ".."), here


def _identity(found: os.stat_result) -> Identity:
    return found.st_dev, found.st_ino


def _identity_at(path: str, directory: int | None = None) -> Identity | None:
    try:
        return _identity(os.stat(path, dir_fd=directory))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def _mount(descriptor: int) -> bytes:
    """The mount of an open file; empty if unknown."""
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            return next((line for line in file if line.startswith(b"mnt_id:")), b"")
    except OSError:
        return b""


def _check_file_system(path: str, descriptor: int) -> None:
    if kind := _KERNEL.get(_file_system(descriptor)):
        raise refusal(path, f"it is in {kind}, a file system of the kernel")


def _file_system(descriptor: int) -> int:
    """The type number of the file's file system on Linux; 0 on other systems."""
    import ctypes
    import sys

    if sys.platform != "linux":
        return 0
    answer = ctypes.create_string_buffer(512)  # a struct statfs is 120 bytes
    if ctypes.CDLL(None, use_errno=True).fstatfs(descriptor, answer):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return int(ctypes.c_long.from_buffer(answer).value) & 0xFFFFFFFF
