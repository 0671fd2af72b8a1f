"""The commands of the prompt: the usage, help and action of each."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from kosmolua.errors import JournalError, UsageError

if TYPE_CHECKING:
    from kosmolua.repl.shell import Shell

MAX_FILE = 8 * 1024 * 1024  # the maximum bytes of a Lua file
LOG_LINES = 20
_NUMBER = re.compile(r"[0-9]{1,9}")


class Command(NamedTuple):
    """``action`` gets the shell and the text after the name; ``takes`` is the kind of completion for that text."""

    name: str
    usage: str
    about: str
    action: Callable[[Shell, str], None]
    takes: str = ""


def parsed(line: str) -> tuple[Command, str]:
    """The command in a line that begins with a colon, and its argument. Raises a `UsageError` for an unknown
    command.
    """
    name, _, rest = line.strip()[1:].partition(" ")
    if "\0" in rest:
        raise UsageError(f"argument of :{name[:20]} contains a NUL byte")
    if name in _BY_NAME:
        return _BY_NAME[name], rest.strip()
    from kosmolua.replicate.nearest import nearest

    near = nearest(name, _BY_NAME, least=0.5) or [each for each in _BY_NAME if each.startswith(name)]
    suggestion = f"; did you mean :{near[0]}?" if name and near else ""
    raise UsageError(f"unknown command :{name}{suggestion}", hint="List them: :help")


def creates_in_flight(functions: Sequence[str]) -> str:
    """A phrase that names the creations that were sent and have no answer yet."""
    return f"{' and '.join(functions[:3])} {'are' if functions[1:] else 'is'} still in flight"


# Help and files ---------------------------------------------------------------------------------------------------


def _help(shell: Shell, name: str) -> None:
    from kosmolua.repl import manual

    shell.screen.show(manual.page(name, COMMANDS) if name else manual.overview(COMMANDS))


def _load(shell: Shell, path: str) -> None:
    from kosmolua.repl import saved

    source = _read(_needed(path, ":load FILE"))
    parts = saved.parts(source)
    for number, part in enumerate(parts, 1):
        error = shell.evaluate(part.text, path, file=source)
        if error and (shell.interrupted or not part.failed or isinstance(error, JournalError)):
            if number < len(parts):
                skipped = len(parts) - number
                shell.screen.show_error(f"{skipped} later input{'s' * (skipped != 1)} in {path} skipped")
            return


def _save(shell: Shell, path: str) -> None:
    from kosmolua.repl import saved

    path = os.path.expanduser(_needed(path, ":save FILE"))
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(saved.written(shell.inputs))
    except OSError as error:
        raise UsageError(
            f"cannot save to {path!r}: {error.strerror}", hint="Choose a file that does not exist"
        ) from None
    failed = sum(each.failed for each in shell.inputs)
    count = len(shell.inputs) - failed
    more = f", and {failed} that failed" if failed else ""
    shell.screen.show(f"saved {count} input{'s' * (count != 1)} to {path}{more}")


def _edit(shell: Shell, path: str) -> None:
    from kosmolua.repl import editor

    if path:
        editor.edit(os.path.expanduser(path))
        _load(shell, path)
        return
    text = editor.edited(next((each.text for each in reversed(shell.inputs) if not each.failed), ""))
    if text.strip():
        shell.screen.show(shell.screen.as_lua(text.rstrip()))
        shell.evaluate(text)


def _time(shell: Shell, text: str) -> None:
    shell.evaluate(_needed(text, ":time LUA"), timed=True)


def _show(shell: Shell, path: str) -> None:
    if path:
        shell.pictures.show_file(path)
    else:
        shell.pictures.show(shell.last, asked=True)


# Account, permissions and budget ------------------------------------------------------------------------------------


def _account(shell: Shell, name: str) -> None:
    options = shell.calls.options
    if name:
        known = list(shell.known.accounts())
        if name not in known and not options.emulate:
            raise UsageError(
                f"unknown account {name!r}; known: {', '.join(known)}",
                hint=f"kosmo integrations:configure replicate --account {quote(name)}",
            )
        options.account = name
    shell.screen.show(f"calls use account {options.account}")


def _policy(shell: Shell, text: str) -> None:
    from kosmolua.settings.config import VERDICTS

    words = text.split()
    if words:
        if len(words) != 2 or words[0] not in ("read", "write") or words[1] not in VERDICTS:  # noqa: PLR2004
            raise UsageError(f"expected :policy read|write allow|ask|deny, got {text!r}")
        setattr(shell.calls.options, words[0], words[1])
        shell.calls.reopen(fresh=False)
    policy = shell.calls.session().policy
    rules = [*policy.rules, *policy.classes.values()]
    shell.screen.show("\n".join(rule.text for rule in rules))


def _budget(shell: Shell, text: str) -> None:
    from kosmolua.repl.budget import changed_caps, spending

    session = shell.calls.session()
    if text:
        session.budget.caps = changed_caps(session.budget.caps, text)
    shell.screen.show(spending(session.budget.spent(), session.budget.caps, session.budget.guessed()))
    for line in session.spending.described(shell.calls.options.account):
        shell.screen.show(line)


def _log(shell: Shell, text: str) -> None:
    if text and not _NUMBER.fullmatch(text):
        raise UsageError(f"expected :log or :log COUNT, got {text!r}")
    from kosmolua.repl import manual

    entries = shell.calls.opened.log if shell.calls.opened else []
    shell.screen.show(manual.log(entries[-int(text or LOG_LINES) :]))


def _cancel(shell: Shell, text: str) -> None:
    if text:
        raise UsageError(
            f"expected :cancel without an argument, got {text!r}",
            hint="Cancel one: cancel_prediction{ prediction_id = ID }",
        )
    session, creating = shell.calls.opened, shell.calls.creating()
    running = session.budget.running() if session else []
    with shell.screen.progress(lambda: "canceling"):
        left = dict(session.cancel_running()) if session and running else {}
    for kind, identifier, _ in running:
        why = left.get(identifier)
        shell.screen.show(f"canceled {kind} {identifier}" if why is None else f"{kind} {identifier}: {why}")
    if creating:
        shell.screen.show(f"{creates_in_flight(creating)}; try again after the answer")
    elif not running:
        shell.screen.show("nothing started by this session is running")


def _emulate(shell: Shell, text: str) -> None:
    options = shell.calls.options
    if text not in ("", "on", "off"):
        raise UsageError(f"expected :emulate on or :emulate off, got {text!r}")
    if text and (text == "on") != options.emulate:
        shell.journals.leave_for_other_api()
        options.emulate = text == "on"
        shell.calls.reopen(fresh=True)
        shell.journals.forget_counts()
    shell.screen.show("calls go to the emulator" if options.emulate else "calls go to Replicate")


# The session ------------------------------------------------------------------------------------------------------


def _journal(shell: Shell, text: str) -> None:
    shell.journals.command(text)


def _reset(shell: Shell, _: str) -> None:
    shell.interpreter.reset()
    shell.known.forget()
    shell.screen.show("new Lua state")


def _keys(shell: Shell, keys: str) -> None:
    if keys not in ("vi", "emacs") or not hasattr(shell.reader, "keys"):
        raise UsageError(f"expected :keys vi or :keys emacs, got {keys!r}")
    setattr(shell.reader, "keys", keys)  # noqa: B010 - a plain reader has no such attribute


def _quit(shell: Shell, _: str) -> None:
    shell.over = True


def _needed(text: str, usage: str) -> str:
    if not text:
        raise UsageError(f"expected {usage}")
    return text


def _read(path: str) -> str:
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path!r}: {error.strerror}") from None
    if len(data) > MAX_FILE or data.startswith(b"\x1b"):
        raise UsageError(f"{path!r} is not Lua text of at most {MAX_FILE} bytes")
    try:
        text = data.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError:
        raise UsageError(f"{path!r} is not UTF-8") from None
    return f"--{text}" if text.startswith("#") else text


COMMANDS = (
    Command("help", "[NAME]", "explain a function, a topic, or this prompt; ?NAME does the same", _help, "page"),
    Command("load", "FILE", "run a Lua file as an input and keep its locals", _load, "file"),
    Command("save", "FILE", "write the inputs of this session that did not fail to a file", _save, "file"),
    Command("edit", "[FILE]", "write an input, or the file, in $EDITOR and run it", _edit, "file"),
    Command("time", "LUA", "run Lua and print how long it took", _time),
    Command("show", "[FILE]", "show the images of the last value, or of a file", _show, "file"),
    Command("reset", "", "start with a new Lua state", _reset),
    Command("account", "[NAME]", "show or change the account that calls use", _account, "account"),
    Command("policy", "[read|write allow|ask|deny]", "show or change what may be called", _policy),
    Command("budget", "[NAME N|none ...]", "show what was spent, or set a limit: :budget predictions 5", _budget),
    Command("log", "[N]", "show the last calls and the decision on each", _log),
    Command("cancel", "", "cancel everything that this session started and that has not ended", _cancel),
    Command(
        "journal", "[FILE|off]", "record every call in a file, and answer recorded calls from it", _journal, "journal"
    ),
    Command("emulate", "on|off", "send calls to the emulator, or to Replicate", _emulate, "switch"),
    Command("keys", "vi|emacs", "use other editing keys", _keys, "keys"),
    Command("quit", "", "leave; Ctrl-D does the same", _quit),
)
_BY_NAME = {command.name: command for command in COMMANDS}
