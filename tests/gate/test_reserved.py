"""Scripts never get reserved files, which are recognized by identity under any name and in any open directory."""

import os
import socket
import subprocess
import sys
import time

import pytest

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate.files import Files
from kosmolua.gate.parts import Parts

SECRET = "r8_ThisIsTheTokenOfTheOwner"
OWN = "it belongs to kosmolua's configuration directory"


@pytest.fixture
def home(tmp_path):
    """A home with the product's directories in their default places, a project, and a directory for the script."""
    for place in (".config/kosmolua", ".local/state/kosmolua/runs", ".cache/kosmolua/predictions", "project/.kosmo"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.txt").write_text("a")
    for file in (
        ".config/kosmolua/credentials.json", ".config/kosmolua/config.toml", ".local/state/kosmolua/audit.jsonl",
        ".local/state/kosmolua/runs/x.journal", ".cache/kosmolua/predictions/k", "project/.kosmo/config.toml",
    ):  # fmt: skip
        (tmp_path / file).write_text(SECRET)
    return tmp_path


def opened(home, own=(), **environment):
    """The files of a run in which every directory is open."""
    return Files(["/"], ["/"], str(home / "project"), {"HOME": str(home), **environment}).of_run(own)


def refused(files, path, why=""):
    """Check that the file can be neither read nor written, and that the error names it."""
    for attempt in (files.read, lambda path: write(files, path)):
        with pytest.raises(PermissionDeniedError) as caught:
            attempt(str(path))
        assert repr(str(path)) in caught.value.message
        assert why in caught.value.message
        assert caught.value.hint


def write(files, path, content=b"changed"):
    with files.create(str(path), "replace") as target:
        target.file.write(content)


PRODUCT = [
    ".config/kosmolua/credentials.json", ".config/kosmolua/config.toml", ".config/kosmolua/trusted.json",
    ".local/state/kosmolua/audit.jsonl", ".local/state/kosmolua/runs/x.journal", ".cache/kosmolua/predictions/k",
]  # fmt: skip


@pytest.mark.parametrize("file", PRODUCT)
def test_the_products_directories(home, file):
    """Files in the configuration, state and cache directories are reserved, whether they exist or not."""
    if not (home / file).exists():
        with pytest.raises(PermissionDeniedError, match="not available to scripts"):
            opened(home).read(str(home / file))
        with pytest.raises(PermissionDeniedError, match="not available to scripts"):
            write(opened(home), home / file)
        return
    refused(opened(home), home / file, "kosmolua's")
    assert SECRET == (home / file).read_text()


@pytest.mark.parametrize("kind", ["CONFIG", "STATE", "CACHE"])
def test_the_products_directories_by_variables(home, tmp_path, kind):
    """KOSMO_ and XDG_ variables move the directories; the default places remain reserved: they may have a token."""
    (home / "moved" / "kosmolua").mkdir(parents=True)
    (home / "moved" / "kosmolua" / "f").write_text(SECRET)

    refused(opened(home, **{f"KOSMO_{kind}_DIR": str(home / "moved" / "kosmolua")}), home / "moved" / "kosmolua" / "f")
    files = opened(home, **{f"XDG_{kind}_HOME": str(home / "moved")})
    refused(files, home / "moved" / "kosmolua" / "f")
    refused(files, home / ".config/kosmolua/credentials.json", OWN)


def test_a_reserved_directory_cannot_be_opened(home):
    """Opening a reserved directory, or a directory within it, by name has no effect."""
    environment = {"HOME": str(home)}
    for place in (".config/kosmolua", ".local/state/kosmolua/runs", "project/.kosmo"):
        files = Files([str(home / place)], [str(home / place)], str(home), environment)
        (name,) = [file for file in [*PRODUCT, "project/.kosmo/config.toml"] if os.path.dirname(file) == place][:1]
        refused(files, home / name)


@pytest.mark.parametrize("spelling", [".kosmo", ".KOSMO", ".Kosmo"])
def test_a_directory_of_settings(home, spelling):
    """The settings of any project are reserved, in any spelling and depth, and so is a file with that name."""
    deep = home / "project" / "deep" / spelling / "deeper"
    deep.mkdir(parents=True)
    (deep / "f").write_text("f")

    refused(opened(home), deep / "f", ".kosmo directory")
    refused(opened(home), home / "project" / ".kosmo" / "config.toml", ".kosmo directory")
    with pytest.raises(PermissionDeniedError, match=r"\.kosmo directory"):
        write(opened(home), home / "own" / spelling)


def test_links_to_reserved_files_are_refused(home):
    """Symbolic links to files and directories, chains of links, and hard links are refused."""
    credentials = home / ".config/kosmolua/credentials.json"
    (home / "own" / "soft").symlink_to(credentials)
    (home / "own" / "softer").symlink_to("soft")
    (home / "own" / "directory").symlink_to(credentials.parent)
    (home / "own" / "settings").symlink_to(home / "project" / ".kosmo")
    files = opened(home)
    for path in ("soft", "softer", "directory/credentials.json", "settings/config.toml",
                 "../own/../.config/./kosmolua/credentials.json"):  # fmt: skip
        refused(files, home / "own" / path)
    hard = (*PRODUCT[:2], *PRODUCT[4:], "project/.kosmo/config.toml")
    for number, target in enumerate(hard):
        os.link(home / target, home / "own" / f"hard{number}")
        refused(files, home / "own" / f"hard{number}")
        assert SECRET == (home / target).read_text()


def test_settings_that_are_stored_elsewhere(home):
    """If the product's file is a link, the link's target is reserved under any name."""
    (home / "dotfiles").mkdir()
    for name in ("credentials.json", "config.toml"):
        os.rename(home / ".config/kosmolua" / name, home / "dotfiles" / name)
        (home / ".config/kosmolua" / name).symlink_to(home / "dotfiles" / name)

    refused(opened(home), home / "dotfiles" / "credentials.json", OWN)
    refused(opened(home), home / "dotfiles" / "config.toml", OWN)
    os.rename(home / ".config/kosmolua", home / "dotfiles" / "whole")
    (home / ".config/kosmolua").symlink_to(home / "dotfiles" / "whole")
    refused(opened(home), home / "dotfiles" / "whole" / "credentials.json", OWN)


def test_reserved_files_cannot_be_opened_by_descriptor(home):
    """/proc/self/fd/N counts as the file that it refers to."""
    with open(home / ".config/kosmolua/credentials.json", "rb") as file:
        refused(opened(home), f"/proc/self/fd/{file.fileno()}", OWN)
        refused(opened(home), f"/dev/fd/{file.fileno()}", OWN)


KERNEL = ["/proc/self/environ", "/proc/self/mem", "/proc/1/environ", "/proc/sys/kernel/hostname", "/proc/self/status",
          "/proc/self/root/proc/self/environ", "/proc/thread-self/environ", "/sys/kernel/uevent_seqnum",
          "/proc/self/task/../environ"]  # fmt: skip


@pytest.mark.parametrize("path", KERNEL)
def test_the_kernels_file_systems(home, path):
    """Files in /proc and similar file systems can be neither read nor written: the environment there has the token."""
    if not os.path.exists(path):
        pytest.fail(f"{path} is on every Linux")
    for files in (opened(home), Files([os.path.dirname(path)], [os.path.dirname(path)], str(home))):
        refused(files, path, "a file system of the kernel")


def test_devices_fifos_and_sockets(home):
    """Such special files are refused without being opened, because opening can block or have effects."""
    os.mkfifo(home / "own" / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(home / "own" / "socket"))
        for path, kind in (("/dev/zero", "a device"), ("/dev/null", "a device"), (home / "own" / "fifo", "a FIFO"),
                           (home / "own" / "socket", "a socket")):  # fmt: skip
            with pytest.raises(UsageError, match=f"is {kind}, not a regular file"):
                opened(home).read(str(path))
            with pytest.raises(PermissionDeniedError, match=f"it is {kind}, not a regular file"):
                write(opened(home), path)


def test_files_of_the_run(home):
    """The run's journal with SQLite's files and its report are reserved, before they exist and under any name."""
    place = home / "own"
    own = [
        (str(place / "run.journal"), "the journal of this run"),
        (str(place / "page.html"), "the report of this run"),
    ]
    files = opened(home, own)
    for name in ("run.journal", "run.journal-wal", "run.journal-shm", "run.journal-lock", "page.html", "PAGE.html"):
        with pytest.raises(PermissionDeniedError, match="of this run"):
            write(files, place / name)
        (place / name).write_text("x")
    for name in ("run.journal", "run.journal-wal", "run.journal-shm", "run.journal-lock", "page.html"):
        refused(files, place / name, "of this run")
    os.link(place / "run.journal", place / "other")
    (place / "soft").symlink_to("run.journal-wal")
    refused(files, place / "other", "the journal of this run")
    refused(files, place / "soft", "the journal of this run")
    write(opened(home), place / "page.html")


def test_reserved_places_that_do_not_exist_yet(tmp_path):
    """A script cannot create a directory that the product will create later."""
    for place in (".config", ".local/state", ".cache", "own"):
        (tmp_path / place).mkdir(parents=True)
    files = Files(["/"], ["/"], str(tmp_path), {"HOME": str(tmp_path)})
    for place in (".config/kosmolua", ".local/state/kosmolua", ".cache/kosmolua", ".cache/Kosmolua"):
        with pytest.raises(PermissionDeniedError, match="kosmolua's"):
            write(files, tmp_path / place)
    write(files, tmp_path / "own" / "kosmolua")


def test_many_files_of_the_product_are_searched_quickly(home):
    """The check is fast even if many files must be compared with a file that has several names."""
    for number in range(3_000):
        (home / ".cache/kosmolua/predictions" / str(number)).touch()
    os.link(home / "own" / "a.txt", home / "own" / "b.txt")
    files = opened(home)
    began = time.process_time()
    for _ in range(10):
        files.read(str(home / "own" / "b.txt"))

    assert time.process_time() - began < 1


def test_files_next_to_reserved_ones_are_usable(home):
    """A script's own files, and files with similar names, are not reserved."""
    for place in (".config/other", ".config/kosmolua2", "project/kosmo", "project/.kosmos"):
        (home / place).mkdir()
        write(opened(home), home / place / "f", b"new")
        assert b"new" == opened(home).read(str(home / place / "f"))
    os.link(home / "own" / "a.txt", home / "own" / "b.txt")
    assert b"a" == opened(home).read(str(home / "own" / "b.txt"))


@pytest.mark.parametrize("unnamed", [True, False])
def test_an_abandoned_write_leaves_nothing(tmp_path, unnamed):
    """A later write raises an error, and the file never gets its name."""
    parts, directory = Parts(unnamed=unnamed), os.open(tmp_path, os.O_RDONLY)

    def give_up():
        with parts.create(directory, "f") as file:
            file.write(b"half")
            parts.close()
            assert [] == os.listdir(tmp_path)

    with pytest.raises(UsageError, match="the run has ended"):
        give_up()
    os.close(directory)

    assert [] == os.listdir(tmp_path)


KILLED = """
import os, signal, sys
from kosmolua.gate.files import Files
files = Files([], ["."], ".")
with files.create("a") as one, files.create("b") as two:
    one.file.write(b"half")
    one.file.flush()
    os.kill(os.getpid(), getattr(signal, sys.argv[1]))
"""


@pytest.mark.parametrize("signal", ["SIGTERM", "SIGKILL", "SIGHUP"])
def test_a_process_that_is_killed_while_it_writes_leaves_nothing(tmp_path, signal):
    """An unfinished file has no name yet."""
    (tmp_path / "probe").mkdir()
    try:
        os.close(os.open(tmp_path / "probe", os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.fail("the file system of the tests' directory has no unnamed files; set TMPDIR to one that has")
    os.rmdir(tmp_path / "probe")
    subprocess.run([sys.executable, "-c", KILLED, signal], check=False, cwd=tmp_path, stderr=subprocess.DEVNULL)

    assert [] == os.listdir(tmp_path)
