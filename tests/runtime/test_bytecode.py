"""The modules of ``lua/`` are cached as bytecode on disk, and the cache is used only if no other user can have written
it.
"""

import os
import stat

import pytest
from confined import by_superuser

from kosmolua.runtime.bytecode import Cached, key_of, packed, unpacked
from kosmolua.runtime.bytecode_file import BytecodeFile
from kosmolua.runtime.run import Script, run
from kosmolua.runtime.state import Modules, State


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def result_of(host, cache):
    """Run a script in a child with the cache."""

    def made(source=b"return #json.encode{ 1 }"):
        return run(Script(source=source, name="x"), host, host, cache=str(cache))

    return made


def file_in(cache):
    (found,) = (cache / "lua").iterdir()
    return found


def identity(path):
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def test_the_first_run_creates_the_file(result_of, cache):
    """Only the owner can enter the directory or read the file; a second run does not change the file."""
    first = result_of()
    made = identity(file_in(cache))
    second = result_of()

    assert ([3], [3]) == (first.results, second.results)
    assert made == identity(file_in(cache))
    assert [0o700, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in (cache / "lua", file_in(cache))]


def test_the_file_is_used(result_of, cache):
    """The file has the bytecode of every module for this engine and these sources."""
    result_of()
    text = Modules.read()
    engine = State(modules=text).run_module_text(b"return jit.version").decode()
    child = Cached(str(BytecodeFile(str(cache)).open()))
    modules = child.modules(engine)

    assert (b"b", set(text.contents)) == (modules.mode, set(modules.contents))
    assert child.made() is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
        lambda _: b"",
        lambda content: content.replace(b"kosmolua bytecode 1", b"kosmolua bytecode 0"),
    ],
    ids=["truncated", "one bit", "empty", "another format"],
)
def test_a_damaged_file_is_replaced(result_of, cache, damage):
    """The run loads the source of the modules and rewrites the file."""
    result_of()
    file = file_in(cache)
    content = file.read_bytes()
    file.write_bytes(damage(content))

    assert [3] == result_of().results
    assert unpacked(file_in(cache).read_bytes(), content[20:52])  # the key comes after the name of the format


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o755])
def test_a_directory_that_others_could_enter_is_emptied(result_of, cache, mode):
    """Files that others could have written are deleted, and the directory is made private."""
    result_of()
    file_in(cache).write_bytes(b"written by somebody else")
    (cache / "lua").chmod(mode)

    assert BytecodeFile(str(cache)).open() is None
    assert [] == list((cache / "lua").iterdir())
    assert 0o700 == stat.S_IMODE((cache / "lua").stat().st_mode)
    assert [3] == result_of().results


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o640])
def test_a_file_that_others_could_write_or_read_is_replaced(result_of, cache, mode):
    """A file whose mode lets others write or read it is replaced."""
    result_of()
    file_in(cache).chmod(mode)

    assert BytecodeFile(str(cache)).open() is None
    assert [3] == result_of().results
    assert 0o600 == stat.S_IMODE(file_in(cache).stat().st_mode)


def test_links_are_not_followed(result_of, cache, tmp_path):
    """Symbolic links, hard links and pipes are refused; a linked directory is ignored."""
    result_of()
    file, elsewhere = file_in(cache), tmp_path / "elsewhere"
    os.link(file, elsewhere)
    assert BytecodeFile(str(cache)).open() is None
    file.unlink()
    file.symlink_to(elsewhere)
    assert BytecodeFile(str(cache)).open() is None
    file.unlink()
    os.mkfifo(file, 0o600)
    assert BytecodeFile(str(cache)).open() is None
    file.unlink()
    (cache / "lua").rename(tmp_path / "moved")
    (cache / "lua").symlink_to(tmp_path / "moved")

    assert [3] == result_of().results
    assert [] == list((tmp_path / "moved").iterdir())


@by_superuser
def test_a_directory_of_another_user_is_ignored(result_of, cache):
    """Nothing in such a directory is read or written."""
    result_of()
    os.chown(cache / "lua", 12345, 12345)
    made = identity(file_in(cache))

    assert BytecodeFile(str(cache)).open() is None
    assert [3] == result_of().results
    assert made == identity(file_in(cache))


def test_an_unusable_cache_is_ignored(result_of, cache):
    """If a file is in the place of the directory, the run loads the source."""
    cache.write_bytes(b"")

    assert [3] == result_of().results


def test_few_files_are_stored(result_of, cache):
    """Files of removed installations are deleted."""
    (cache / "lua").mkdir(mode=0o700, parents=True)
    for number in range(20):
        (cache / "lua" / f"{number}.bytecode").touch(mode=0o600)
    result_of()

    assert 8 == len(list((cache / "lua").iterdir()))
    assert BytecodeFile(str(cache)).open() is not None


def test_other_sources_and_engines_have_other_keys():
    """After a changed letter, a moved line or with another engine, the bytecode is rejected."""
    texts = {"json": b"return {}", "values": b"return 1"}
    State(modules=Modules.read())
    key = key_of("LuaJIT 2.1.1", texts)
    content = packed({"json": b"\x1bLJ", "values": b"\x1bLJ\n 12"}, key)
    others = [
        key_of("LuaJIT 2.1.2", texts),
        key_of("LuaJIT 2.1.1", {**texts, "json": b"return {} "}),
        key_of("LuaJIT 2.1.1", {"json": b"return {}\nvalues 8\nreturn 1"}),
    ]

    assert {"json": b"\x1bLJ", "values": b"\x1bLJ\n 12"} == unpacked(content, key)
    assert [None] * 3 == [unpacked(content, other) for other in others]
    assert 4 == len({key, *others})


def test_another_engine_loads_the_source(cache):
    """Lua 5.4 never loads the bytecode."""
    child = Cached("make")

    assert b"t" == child.modules("Lua 5.4").mode
    assert child.made() is None


def test_the_child_closes_the_descriptor(tmp_path):
    """The child closes the cache's descriptor before a script runs."""
    (tmp_path / "file").write_bytes(b"x")
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    Cached(str(descriptor))

    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_errors_in_our_own_files_name_the_same_line(result_of):
    """Error messages in the modules are the same whether loaded from source or bytecode."""
    script = b"return tostring(select(2, pcall(json.decode, '[1,')))"

    assert result_of(script).results == result_of(script).results
