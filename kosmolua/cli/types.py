"""``integrations:types``: what an editor needs to know a script's world, for lua-language-server."""

from __future__ import annotations

import os
import sys

from kosmolua.cli import options
from kosmolua.cli.output import show_json, to_json, write_text
from kosmolua.errors import UsageError

LIBRARY = "types"
SETTINGS = ".luarc.json"


def run(command: str, argv: list[str]) -> int:
    made = options.parser(
        command,
        f"Writes {LIBRARY}/*.lua and {SETTINGS}, by which lua-language-server completes and checks scripts.",
        f"kosmo {command} --out .",
    )
    made.add_argument("--out", metavar="DIR", default=".", help="where the scripts are (default: here)")
    made.add_argument("--json", action="store_true", help="answer with one JSON object")
    parsed = made.parse_args(argv)
    files, kept = _written(parsed.out)
    if parsed.json:
        show_json({"success": True, "files": files, "kept": kept})
    else:
        write_text("".join(f"{path}\n" for path in files))
    if kept:
        print(f'kosmo: {kept[0]} is your own and stays; add "{LIBRARY}" to its workspace.library', file=sys.stderr)
    return 0


def _written(directory: str) -> tuple[list[str], list[str]]:
    """The files that were written, and those that were there and are not ours to change."""
    from kosmolua.replicate import stubs

    settings = to_json(stubs.settings(LIBRARY)) + "\n"
    texts = {os.path.join(LIBRARY, name): text for name, text in stubs.stubs().items()}
    try:
        os.makedirs(os.path.join(directory, LIBRARY), exist_ok=True)
        for name, text in texts.items():
            _write(os.path.join(directory, name), text)
        path = os.path.join(directory, SETTINGS)
        own = os.path.exists(path) and _read(path) != settings
        if not own:
            _write(path, settings)
    except OSError as error:
        raise UsageError(f"cannot write into {directory!r}: {error.strerror}", hint="give another --out DIR") from None
    files = [os.path.join(directory, name) for name in texts]
    return (files, [path]) if own else ([*files, path], [])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
