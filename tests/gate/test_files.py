"""A script's files: what was opened for it and nothing beside, whatever its paths look like."""

import os
import threading
from contextlib import suppress

import pytest

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate.files import Files


@pytest.fixture
def tree(tmp_path):
    """A directory that is open, and a secret beside it."""
    (tmp_path / "open" / "deep").mkdir(parents=True)
    (tmp_path / "open" / "deep" / "a.txt").write_text("a")
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "openly").mkdir()
    (tmp_path / "openly" / "b.txt").write_text("secret")
    return tmp_path


@pytest.fixture
def files(tree):
    return Files(["open"], ["open"], base=str(tree))


def write(files, path, content=b"new"):
    with files.create(path) as file:
        file.write(content)


def test_without_a_directory_there_are_no_files(tree):
    """And the refusal names the flag that opens one."""
    nothing = Files(base=str(tree))

    with pytest.raises(PermissionDeniedError) as caught:
        nothing.read("open/deep/a.txt")
    assert "open one for it: --allow-read DIR" == caught.value.hint
    with pytest.raises(PermissionDeniedError, match="may write to"):
        write(nothing, "open/x")


def test_what_is_inside_is_read_and_written(files, tree):
    """By relative and by absolute path, also through a link that stays inside."""
    (tree / "open" / "inner").symlink_to(tree / "open" / "deep")

    assert b"a" == files.read("open/deep/a.txt")
    assert b"a" == files.read(str(tree / "open" / "deep" / ".." / "deep" / "a.txt"))
    assert b"a" == files.read("open/inner/a.txt")
    write(files, "open/deep/new.bin", b"\x00\xff")
    assert b"\x00\xff" == (tree / "open" / "deep" / "new.bin").read_bytes()
    write(files, "open/deep/new.bin", b"again")
    assert b"again" == files.read("open/deep/new.bin")


OUTSIDE = [
    "secret.txt", "open/../secret.txt", "open/deep/../../secret.txt", "/etc/passwd", "openly/b.txt", "open", ".", "..",
    "open/..", "~/x", "open/../openly/b.txt", "/proc/self/environ", "//etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_what_is_outside_is_refused(files, path):
    """For reading and for writing, and nothing is made there."""
    with pytest.raises((PermissionDeniedError, UsageError)):
        files.read(path)
    with pytest.raises((PermissionDeniedError, UsageError)):
        write(files, path)


@pytest.mark.parametrize("path", ["", "\0", "open/a\0b", "open/" * 1_000_000], ids=["empty", "NUL", "a NUL", "endless"])
def test_what_is_no_path(files, path):
    """A sentence, not a ValueError of the system's."""
    with pytest.raises(UsageError, match="expected the path"):
        files.read(path)


def test_a_link_that_leads_out(files, tree):
    """Of a file or of a directory: neither read nor written through."""
    (tree / "open" / "link.txt").symlink_to(tree / "secret.txt")
    (tree / "open" / "link").symlink_to(tree)
    (tree / "open" / "proc").symlink_to("/proc/self")
    for path in ("open/link.txt", "open/link/secret.txt", "open/link/new.txt", "open/proc/environ"):
        with pytest.raises(PermissionDeniedError):
            files.read(path)
        with pytest.raises(PermissionDeniedError):
            write(files, path)

    assert "secret" == (tree / "secret.txt").read_text()


def test_a_link_that_is_swapped_in_meanwhile(files, tree):
    """Somebody who exchanges a directory for a link, as fast as they can, never gets the secret read."""
    (tree / "trap").mkdir()
    (tree / "trap" / "a.txt").write_text("secret")
    deep, aside, link = tree / "open" / "deep", tree / "open" / "aside", tree / "open" / "link"
    link.symlink_to(tree / "trap")
    over = threading.Event()

    def swap():
        while not over.is_set():
            os.rename(deep, aside)
            os.rename(link, deep)
            os.rename(deep, link)
            os.rename(aside, deep)

    swapper = threading.Thread(target=swap)
    swapper.start()
    seen = set()
    try:
        for _ in range(3000):
            with suppress(PermissionDeniedError, UsageError):
                seen.add(files.read("open/deep/a.txt"))
    finally:
        over.set()
        swapper.join()

    assert {b"a"} == seen


def test_what_is_no_regular_file(files, tree):
    """A directory, a pipe: refused at once, without waiting for a writer."""
    os.mkfifo(tree / "open" / "pipe")
    for path in ("open/deep", "open/pipe"):
        with pytest.raises(UsageError):
            files.read(path)


def test_what_is_not_there(files):
    """Is told as the system tells it."""
    with pytest.raises(UsageError, match=r"cannot read 'open/none\.txt': No such file or directory"):
        files.read("open/none.txt")
    with pytest.raises(UsageError, match="cannot write 'open/none/x'"):
        write(files, "open/none/x")


def test_a_file_that_is_too_large(tree, files):
    """Is not taken into memory."""
    (tree / "open" / "big").write_bytes(b"x" * 11)
    with pytest.raises(UsageError, match="larger than 10 bytes"):
        files.read("open/big", limit=10)


def test_a_write_that_fails_leaves_nothing(files, tree):
    """What was there before stays, and no half of a file."""
    (tree / "open" / "x").write_text("before")
    before = set(os.listdir(tree / "open"))
    with suppress(ZeroDivisionError), files.create("open/x") as file:
        file.write(b"half")
        raise ZeroDivisionError

    assert "before" == (tree / "open" / "x").read_text()
    assert before == set(os.listdir(tree / "open"))


def test_a_directory_that_is_none(tree):
    """Told when the run begins, not when the script comes to it."""
    with pytest.raises(UsageError, match="--allow-read: 'nowhere' is no directory"):
        Files(["nowhere"], base=str(tree))
