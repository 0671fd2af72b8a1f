"""Print results on standard output, and errors and notices on standard error.

Standard output contains only the result. With ``--json`` it is one envelope, indented on a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import islice
from typing import Any, Literal

import msgspec

from kosmolua.errors import KosmoError, OutputError
from kosmolua.terminal.safe import safe

MAX_COPY = 64 * 1024  # bytes of output in a report
MOST_LISTED = 20  # created objects to list


def show_json(value: Any) -> None:
    """Print a value as JSON: indented and escaped on a terminal, on one line in a pipe."""
    text = to_json(value, indent=sys.stdout.isatty())
    write_text((_printable(text) if sys.stdout.isatty() else text) + "\n")


def _printable(text: str) -> str:
    """The same JSON, with unprintable characters as JSON escapes."""
    import json

    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def write_pieces(pieces: Iterable[bytes]) -> None:
    """Print JSON that comes in pieces, cut between characters."""
    for piece in pieces:
        write_bytes(_printable(piece.decode()).encode() if sys.stdout.isatty() else piece)
    write_text("\n")


def _utf8(value: Any) -> Any:
    """Plain data, with a question mark for each character that UTF-8 cannot encode."""
    match value:
        case str():
            return value.encode(errors="replace").decode()
        case list() | tuple():
            return [_utf8(each) for each in value]
        case dict():
            return {_utf8(name): _utf8(each) for name, each in value.items()}
        case msgspec.Struct():
            return _utf8(msgspec.structs.asdict(value))
    return value


def to_json(value: Any, *, indent: bool = True, ordered: bool = False) -> str:
    """JSON text. ``ordered`` sorts names, since the order of a Lua table is arbitrary."""
    order: Literal["sorted"] | None = "sorted" if ordered else None
    try:
        encoded = msgspec.json.encode(value, order=order)
    except UnicodeEncodeError:  # such as a file name that is not UTF-8
        encoded = msgspec.json.encode(_utf8(value), order=order)
    return (msgspec.json.format(encoded, indent=2) if indent else encoded).decode()


def write_text(text: str) -> None:
    """Write text as UTF-8, whatever the locale, and flush."""
    sys.stdout.flush()
    write_bytes(text.encode("utf-8", "replace"))


def write_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def plain(data: Any) -> Any:
    """The answer as plain data for JSON: bytes become ``{"base64": …, "size": …}``."""
    if isinstance(data, bytes):
        import base64

        return {"base64": base64.b64encode(data).decode(), "size": len(data)}
    return data


def show_error(error: KosmoError, *, as_json: bool) -> int:
    """Print the error as JSON or text, on standard error if standard output fails. Returns its exit status."""
    if not as_json or isinstance(error, OutputError):
        print_error(error)
        return error.exit_status
    try:
        show_json({"success": False, **failure(error)})
    except OutputError as lost:
        print_error(error)
        print_error(lost)
    return error.exit_status


def print_created(created: Iterable[tuple[str, str, str]]) -> None:
    """Print commands that read created objects, given as (kind, id, account), if the result could not be printed."""
    from kosmolua.settings.config import account_flag

    for kind, identifier, account in islice(created, MOST_LISTED):
        how = f"kosmo integrations:call replicate.get_{kind} --{kind}_id {identifier}{account_flag(account)}"
        print(safe(f"kosmo: {kind} {identifier} was created; read it: {how}"), file=sys.stderr)


def failure(error: KosmoError) -> dict[str, Any]:
    """An error's fields in an envelope: the message, the code, and the rest under ``meta``."""
    rest = error.to_dict()
    return {"error": rest.pop("message"), "code": rest.pop("code"), "meta": rest}


def print_error(error: KosmoError, excerpt: str | None = None) -> None:
    """Print the error for a person: place, message, hint. A closed pipe, as in `kosmo … | head`, is not an error."""
    if isinstance(error, OutputError) and error.gone:
        return
    where = getattr(error, "where", None)
    prefix = f"{where}: " if where else ""
    print(safe(f"error: {prefix}{error.message}"), file=sys.stderr)
    if excerpt:
        print(safe(excerpt), file=sys.stderr)
    traceback = error.detail if error.code == "internal_error" else getattr(error, "traceback", None)
    if isinstance(traceback, str) and "\n" in traceback:
        from kosmolua.terminal.text import stack

        print(safe("\n".join(stack(traceback))), file=sys.stderr)
    if error.hint:
        print(safe(f"hint: {error.hint}"), file=sys.stderr)


class ScriptOutput:
    """Receives a script's output: writes it at once, or keeps it for an envelope. Logs go to standard error. With
    ``copy`` the end of both is kept as well.
    """

    def __init__(self, *, keep: bool, copy: bool = False) -> None:
        self._keep = keep
        self._copy: bytearray | None = bytearray() if copy else None
        self._kept = bytearray()
        self._escape = not keep and sys.stdout.isatty()

    @property
    def text(self) -> str:
        return self._kept.decode(errors="replace")

    @property
    def copied(self) -> str:
        """The last part of what the script printed and logged."""
        return (self._copy or b"")[-MAX_COPY:].decode(errors="replace")

    def write(self, stream: Literal[1, 2], text: bytes) -> None:
        if self._copy is not None:
            self._copy += text
            if len(self._copy) > 2 * MAX_COPY:
                del self._copy[:-MAX_COPY]
        if stream == 1 and self._keep:
            self._kept += text
        else:
            self._show(stream, text)

    def _show(self, stream: Literal[1, 2], text: bytes) -> None:
        from kosmolua.terminal.screen import LINE, SCREEN

        with SCREEN:  # held while a question waits for its answer
            LINE.wipe()
            if stream == 2:  # noqa: PLR2004 - the usual descriptors: 1 output, 2 errors
                print(safe(text.decode(errors="replace")), end="", file=sys.stderr, flush=True)
            else:
                write_bytes(safe(text.decode(errors="replace")).encode() if self._escape else text)
            if stream == 2 or self._escape:  # noqa: PLR2004 - as above
                LINE.at_start = text.endswith(b"\n")
