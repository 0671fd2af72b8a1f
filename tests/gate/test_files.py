"""A script can use files in the open directories and no others, for any path."""

import os
import threading
from contextlib import contextmanager, suppress

import pytest

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.gate.files import Files


@pytest.fixture
def tree(tmp_path):
    """An open directory, and a secret next to it."""
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
    with files.create(path) as target:
        target.file.write(content)


def test_without_a_directory_no_file_is_open(tree):
    """The refusal names the flag that opens a directory."""
    nothing = Files(base=str(tree))

    with pytest.raises(PermissionDeniedError) as caught:
        nothing.read("open/deep/a.txt")
    assert "allow a directory: --allow-read DIR" == caught.value.hint
    with pytest.raises(PermissionDeniedError, match="may write to"):
        write(nothing, "open/x")


def test_files_inside_are_read_and_written(files, tree):
    """Relative and absolute paths work, also through a link whose target is inside."""
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
def test_files_outside_are_refused(files, path):
    """A file outside can be neither read nor written, and nothing is created there."""
    with pytest.raises((PermissionDeniedError, UsageError)):
        files.read(path)
    with pytest.raises((PermissionDeniedError, UsageError)):
        write(files, path)


@pytest.mark.parametrize("path", ["", "\0", "open/a\0b", "open/" * 1_000_000], ids=["empty", "NUL", "a NUL", "endless"])
def test_invalid_paths_are_refused(files, path):
    """The error for an invalid path is a sentence, not the system's ValueError."""
    with pytest.raises(UsageError, match="expected a file path"):
        files.read(path)


def test_a_link_to_the_outside(files, tree):
    """A link to a file or directory outside is followed neither for reading nor for writing."""
    (tree / "open" / "link.txt").symlink_to(tree / "secret.txt")
    (tree / "open" / "link").symlink_to(tree)
    (tree / "open" / "proc").symlink_to("/proc/self")
    for path in ("open/link.txt", "open/link/secret.txt", "open/link/new.txt", "open/proc/environ"):
        with pytest.raises(PermissionDeniedError):
            files.read(path)
        with pytest.raises(PermissionDeniedError):
            write(files, path)

    assert "secret" == (tree / "secret.txt").read_text()


def test_a_directory_replaced_by_a_link(files, tree):
    """Replacing a directory by a link, however fast, never reveals the secret."""
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


def test_only_regular_files_are_opened(files, tree):
    """A directory or a pipe is refused at once, without waiting for a writer."""
    os.mkfifo(tree / "open" / "pipe")
    for path in ("open/deep", "open/pipe"):
        with pytest.raises(UsageError):
            files.read(path)


def test_missing_files_are_reported(files):
    """The error for a missing file has the system's message."""
    with pytest.raises(UsageError, match=r"cannot read 'open/none\.txt': No such file or directory"):
        files.read("open/none.txt")
    with pytest.raises(UsageError, match=r"cannot write 'open/deep/a\.txt/x': Not a directory"):
        write(files, "open/deep/a.txt/x")


def test_a_file_that_is_too_large(tree, files):
    """A file that is too large is not read into memory."""
    (tree / "open" / "big").write_bytes(b"x" * 11)
    with pytest.raises(UsageError, match="larger than 10 bytes"):
        files.read("open/big", limit=10)


def test_a_write_that_fails_leaves_nothing(files, tree):
    """A failed write keeps the earlier file, and leaves no partial file."""
    (tree / "open" / "x").write_text("before")
    before = set(os.listdir(tree / "open"))
    with suppress(ZeroDivisionError), files.create("open/x", "replace") as target:
        target.file.write(b"half")
        raise ZeroDivisionError

    assert "before" == (tree / "open" / "x").read_text()
    assert before == set(os.listdir(tree / "open"))


def test_a_missing_directory_is_refused(tree):
    """The error for a missing directory is reported when the run begins."""
    with pytest.raises(UsageError, match="--allow-read: no such directory: 'nowhere'"):
        Files(["nowhere"], base=str(tree))


def test_the_directory_to_write_to_is_created(tree):
    """The first file creates it if only its last name is missing; nothing creates it before."""
    files = Files([], ["results"], base=str(tree))
    files.check("results/a.txt")
    assert not (tree / "results").exists()
    write(files, "results/deep/a.txt")

    assert b"new" == (tree / "results" / "deep" / "a.txt").read_bytes()
    with pytest.raises(UsageError, match="--allow-write: no such directory: 'no/where'") as caught:
        Files([], ["no/where"], base=str(tree))
    assert "create it: mkdir -p no/where" == caught.value.hint


def test_a_link_is_not_created_through(tree):
    """A link to nothing is no directory to write to, and a link that appears instead of the directory is refused."""
    (tree / "link").symlink_to(tree / "elsewhere")
    with pytest.raises(UsageError, match="--allow-write: not a directory: 'link'"):
        Files([], ["link"], base=str(tree))
    files = Files([], ["results"], base=str(tree))
    (tree / "results").symlink_to(tree / "openly")

    with pytest.raises(PermissionDeniedError):
        write(files, "results/a.txt")
    assert ["b.txt"] == os.listdir(tree / "openly")
    assert not (tree / "elsewhere").exists()


def test_a_reserved_directory_is_not_created(tree):
    """The directory to write to is not created inside of a project's settings."""
    (tree / ".kosmo").mkdir()
    files = Files([], [".kosmo/results"], base=str(tree))

    with pytest.raises(PermissionDeniedError):
        write(files, ".kosmo/results/a.txt")
    assert [] == os.listdir(tree / ".kosmo")


def save(files, path, mode, source="", content=b"new"):
    with files.create(path, mode, source) as target:
        target.file.write(content)
    return target.path


def test_files_of_others_are_not_replaced(files, tree):
    """A file of another program stops the download, unless overwriting is allowed; a run replaces its own files."""
    (tree / "open" / "a.png").write_bytes(b"paid")

    with pytest.raises(UsageError, match="exists, and this run did not write it"):
        save(files, "open/a.png", "new")
    assert b"paid" == (tree / "open" / "a.png").read_bytes()
    assert "open/a.png" == save(files, "open/a.png", "replace", content=b"mine")
    assert "open/a.png" == save(files, "open/a.png", "new", content=b"again")
    assert b"again" == (tree / "open" / "a.png").read_bytes()


def test_a_free_name_is_used(files, tree):
    """Each saved file gets a new name, except for the same source."""
    (tree / "open" / "a.png").write_bytes(b"paid")

    assert "open/a-2.png" == save(files, "open/a.png", "free", "one")
    assert "open/a-3.png" == save(files, "open/a.png", "free", "two")
    assert "open/a-2.png" == save(files, "open/a.png", "free", "one", b"again")
    assert [b"paid", b"again", b"new"] == [
        (tree / "open" / name).read_bytes() for name in ("a.png", "a-2.png", "a-3.png")
    ]


class Meanwhile:
    """Files, while another process creates a file during a write."""

    def __init__(self, files, path):
        self._files, self._path = files, path

    @contextmanager
    def create(self, *how):
        with self._files.create(*how) as target:
            self._path.write_bytes(b"paid")
            yield target


def test_a_file_created_meanwhile_is_not_replaced(files, tree):
    """A file that another process writes during a download is not replaced."""
    with pytest.raises(UsageError, match=r"cannot write 'open/a\.png': File exists"):
        save(Meanwhile(files, tree / "open" / "a.png"), "open/a.png", "new")
    two = save(Meanwhile(files, tree / "open" / "b.png"), "open/b.png", "free", content=b"late")

    assert "open/b-2.png" == two
    assert {"a.png": b"paid", "b.png": b"paid", "b-2.png": b"late"} == {
        each.name: each.read_bytes() for each in (tree / "open").glob("*.png")
    }


def test_a_resumed_run_recognizes_its_files(tree):
    """A record next to the journal lists the run's files; a file that replaced one of them is not the run's."""
    first = Files([], ["open"], base=str(tree)).of_run(record=str(tree / "x.outputs" / "saved"))
    assert ["open/a", "open/b"] == [save(first, path, "new", "here") for path in ("open/a", "open/b")]
    (tree / "b").write_bytes(b"paid")
    os.replace(tree / "b", tree / "open" / "b")

    later = Files([], ["open"], base=str(tree)).of_run(record=str(tree / "x.outputs" / "saved"))
    assert "open/a" == save(later, "open/a", "new")
    with pytest.raises(UsageError, match="did not write it"):
        save(later, "open/b", "new")


def test_directories_are_created(files, tree):
    """Directories are created only below an open directory."""
    assert "open/new/er/a.png" == save(files, "open/new/er/a.png", "new")
    assert b"new" == (tree / "open" / "new" / "er" / "a.png").read_bytes()
    for path in ("other/a.png", "open/.kosmo/new/a.png", "open/../other/a.png"):
        with pytest.raises(PermissionDeniedError):
            save(files, path, "new")
    assert ["deep", "new"] == sorted(os.listdir(tree / "open"))
    assert not (tree / "other").exists()
