"""The modules of ``lua/`` as bytecode in a file, so that a process started for one run need not parse them.

LuaJIT trusts bytecode as a processor trusts machine code. So the file is in a directory that only the directory's owner
can enter and that no script can write to. The host opens the file and passes its descriptor to the child, which accepts
it only for the modules' present text and this build of LuaJIT. If there is no such file, the child compiles the modules
before it reads a script, and the host stores the result.
"""

from __future__ import annotations

import os

from kosmolua.runtime.state import Modules, State, engine_file

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

NONE = "none"  # the same as in kosmolua.runtime.bytecode_file, which needs contextlib
MADE = b"modules "
_MAGIC = b"kosmolua bytecode 1\n"
_DIGEST = 32  # bytes of a digest
_HEAD = len(_MAGIC) + 2 * _DIGEST
_MAX_SIZE = 8 * 1024 * 1024


class Cached:
    """The child's side: the modules for its state. ``source`` is the first argument from the host; if it is a
    descriptor, that is closed.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._content = _read(int(source)) if source.isdecimal() else b""
        self._key = b""
        self._text: Modules | None = None

    def modules(self, engine: str) -> Modules:
        """The modules for a state of this engine: bytecode if the file fits, else text."""
        text = Modules.read()
        if self._source == NONE or not engine.startswith("LuaJIT"):
            return text
        self._key = key_of(engine, text.contents)
        found = unpacked(self._content, self._key)
        if found:
            return Modules(found, b"b")
        self._text = text
        return text

    def made(self) -> bytes | None:
        """The content of a new bytecode file, if the host needs one."""
        if self._text is None:
            return None
        compiled = State(modules=self._text).compiled(self._text)
        return packed(compiled.contents, self._key)


def key_of(engine: str, texts: Mapping[str, bytes]) -> bytes:
    """A digest of what the bytecode depends on: the build of LuaJIT, and the names and texts of the modules."""
    file = os.stat(engine_file())
    digest = _blake2b(digest_size=_DIGEST)
    for part in _framed(f"{engine} {os.uname().machine} {file.st_size} {file.st_mtime_ns}".encode(), texts):
        digest.update(part)
    found: bytes = digest.digest()
    return found


def _framed(first: bytes, contents: Mapping[str, bytes]) -> Iterator[bytes]:
    yield first
    for name, content in contents.items():
        yield f"\n{name} {len(content)}\n".encode()
        yield content


def packed(contents: Mapping[str, bytes], key: bytes) -> bytes:
    body = b"".join(b"%d %s\n%s" % (len(content), name.encode(), content) for name, content in contents.items())
    return b"".join((_MAGIC, key, _blake2b(body, digest_size=_DIGEST).digest(), body))


def unpacked(content: bytes, key: bytes) -> dict[str, bytes] | None:
    """The modules in the content of a bytecode file; None if it is damaged or has another key."""
    head, body = content[:_HEAD], content[_HEAD:]
    if head != b"".join((_MAGIC, key, _blake2b(body, digest_size=_DIGEST).digest())):
        return None
    found, at = {}, 0
    while at < len(body):
        end = body.index(b"\n", at)
        size, name = body[at:end].split(b" ")
        at = end + 1 + int(size)
        found[name.decode()] = body[end + 1 : at]
    return found


def _read(descriptor: int) -> bytes:
    try:
        with open(descriptor, "rb") as file:
            return file.read(_MAX_SIZE)
    except OSError:
        return b""


def _blake2b(data: bytes = b"", *, digest_size: int) -> Any:
    try:
        from _blake2 import blake2b  # importing hashlib would take a millisecond
    except ImportError:
        from hashlib import blake2b
    return blake2b(data, digest_size=digest_size)
