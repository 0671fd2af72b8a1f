"""The prompt's own commands, as data. What each does is in `kosmolua.repl.shell`."""

from __future__ import annotations

from typing import NamedTuple

from kosmolua.errors import UsageError


class Command(NamedTuple):
    """``usage`` is what stands behind the name; ``takes`` is what completes there."""

    name: str
    usage: str
    about: str
    takes: str = ""


COMMANDS = (
    Command("help", "[NAME]", "tell of a function, a topic, or of this prompt; ?NAME does too", "page"),
    Command("load", "FILE", "run a Lua file as an input, with its locals kept", "file"),
    Command("save", "FILE", "write the inputs of this session that did not fail into a file", "file"),
    Command("edit", "[FILE]", "write an input, or the file, in $EDITOR and run it", "file"),
    Command("time", "LUA", "run Lua and say how long it took"),
    Command("show", "[FILE]", "show the images of the last value, or of a file", "file"),
    Command("reset", "", "begin with an empty state"),
    Command("account", "[NAME]", "say or change whom calls are made as", "account"),
    Command("policy", "[read|write allow|ask|deny]", "say or change what may be called"),
    Command("budget", "[NAME N|none ...]", "say what was spent, or bound it: :budget predictions 5"),
    Command("log", "[N]", "the last calls, and what was decided on each"),
    Command("cancel", "", "cancel what this session has started, and nobody has seen end"),
    Command("journal", "[FILE|off]", "keep every call in a file, and answer from it what it holds", "journal"),
    Command("emulate", "on|off", "answer from the emulator, or from Replicate", "switch"),
    Command("keys", "vi|emacs", "edit with other keys", "keys"),
    Command("quit", "", "leave; Ctrl-D does too"),
)
_BY_NAME = {command.name: command for command in COMMANDS}


def parsed(line: str) -> tuple[Command, str]:
    """The command of a line that begins with a colon, and the rest. Raises a `UsageError` for one there is not."""
    name, _, rest = line.strip()[1:].partition(" ")
    if "\0" in rest:
        raise UsageError(f"what stands behind :{name[:20]} holds a NUL, which no name does")
    if name in _BY_NAME:
        return _BY_NAME[name], rest.strip()
    from difflib import get_close_matches

    near = get_close_matches(name, _BY_NAME, n=1, cutoff=0.5) or [each for each in _BY_NAME if each.startswith(name)]
    said = f"; did you mean :{near[0]}?" if name and near else ""
    raise UsageError(f"no command is called :{name}{said}", hint="see them all: :help")
