"""The command line: one module per family of commands, imported when one of its commands runs."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from kosmolua.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_SIGNALED,
    EXIT_USAGE,
    Interrupted,
    OutputError,
    UsageError,
    failure_of,
)
from kosmolua.runtime.standins import StandIn, StandingIn

TYPE_CHECKING = False  # as in kosmolua.errors
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, NoReturn

# command -> (module, summary in the help)
COMMANDS = {
    "run": ("run", "run a model and print its output: run owner/name prompt=..."),
    "integrations:lua": ("lua", "run a Lua script against Replicate (short: lua)"),
    "repl": ("lua", "start an interactive prompt for Lua, with completion, help and the permission gate"),
    "check": ("check", "report what is certain to fail in a script, without running it"),
    "scripts": ("scripts", "keep Lua scripts by name, and run them: scripts run draw prompt=..."),
    "integrations:call": ("call", "call one function, such as replicate.get_account"),
    "integrations:replicate": ("call", "call one function without the prefix; list the functions if none is given"),
    "integrations:configure": ("configure", "store an API token, set permissions, manage accounts"),
    "integrations:doctor": ("doctor", "check whether a call would work, and print what to run if not"),
    "integrations:status": ("status", "show each setting in force and its source"),
    "integrations:policy": ("policy", "explain which rule decides a call, or list the rules"),
    "integrations:trust": ("status", "trust this project's config.toml, including settings that loosen policy"),
    "budget": ("budget", "set, show or remove a budget for all runs in a day, week or month"),
    "prices": ("prices", "list the prices of models, or import a price file"),
    "completion": ("completion", "print a completion script: completion bash, zsh or fish"),
    "models": ("models", "search models, list them, or show one: models search upscale"),
    "model": ("model", "show a model's inputs and output: model owner/name"),
    "predictions": ("predictions", "list predictions, show, cancel or open one: predictions show ID"),
    "integrations:search": ("reference", "search functions, script helpers, topics and commands"),
    "integrations:docs": ("reference", "show the documentation of a function, a helper, the provider or a topic"),
    "integrations:list": ("reference", "list the providers, or a provider's functions"),
    "integrations:examples": ("reference", "show an example of a function for each interface"),
    "integrations:schema": ("reference", "print the JSON Schema of a function's arguments"),
    "integrations:fields": ("reference", "list a provider's configuration fields"),
    "integrations:types": ("types", "write type stubs, so that an editor can complete and check scripts"),
    "runs": ("runs", "list, show, resume, undo, export and prune runs that have a journal"),
    "audit": ("audit", "show the calls that were made or refused, and who decided"),
    "approvals": ("approvals", "list the calls that wait for approval, and approve or deny them"),
    "skill": ("skill", "print or install a skill that teaches agents this version of kosmo"),
    "mcp:serve": ("mcp", "expose each function as an MCP tool, or one execute_lua tool instead (--code)"),
    "mcp:install": ("mcp", "register the server with an MCP client"),
    "mcp:uninstall": ("mcp", "remove the server from an MCP client"),
    "mcp:export": ("mcp", "print the configuration that mcp:install would write"),
    "emulator:serve": ("emulator", "serve an offline Replicate API on loopback, for any client"),
    "emulator:record": ("recording", "run a loopback proxy that records a program's API calls as a cassette"),
    "submit": ("submit", "add a run for a worker to execute"),
    "worker": ("worker", "execute submitted runs; workers on many machines can share one PostgreSQL"),
    "workers": ("worker", "list the workers"),
    "schedule": ("schedule", "run a script on workers at recurring times: schedule add nightly @daily FILE"),
    "triggers": ("triggers", "let HTTP requests start a script on workers"),
    "webhooks:serve": ("hooks", "receive webhooks and requests that start runs"),
    "webhooks:verify": ("webhooks", "verify that a webhook was signed by Replicate"),
    "serve": ("serve", "serve pages about runs, approvals, schedules, budgets and workers"),
}
# the first command of a section of the help -> its title
_SECTIONS = {
    "run": "run models and scripts",
    "integrations:configure": "set up",
    "models": "look up",
    "runs": "look back",
    "skill": "agents",
    "emulator:serve": "without an account",
    "submit": "workers, schedules and webhooks",
}
SHORT = {"lua": "integrations:lua"}
# Python searches for cycles after 700 new objects, and imports create thousands: 5 % of a short run's CPU time.
_COLLECTION = (50_000, 20, 20)


def program() -> NoReturn:
    """The console script. It skips the interpreter's shutdown, which takes 5 % of a short run's CPU time."""
    from kosmolua.cli import streams

    gc.set_threshold(*_COLLECTION)
    streams.prepare()
    try:
        status = main()
    except SystemExit as ended:  # argparse raises SystemExit after --help
        status = ended.code if isinstance(ended.code, int) else EXIT_FAILED if ended.code else 0
    try:
        sys.stdout.flush()
    except OutputError as error:
        status = status or _failed(error, as_json=False)
    os._exit(status)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 on success, else as in `kosmolua.errors`."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        return _dispatch(argv)
    except KeyboardInterrupt as why:
        print("interrupted", file=sys.stderr)
        return EXIT_SIGNALED + why.number if isinstance(why, Interrupted) else EXIT_INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the outermost handler
        return _failed(error, as_json="--json" in argv, command=" ".join(["kosmo", *argv[:1]]))


def _failed(error: BaseException, *, as_json: bool, command: str = "kosmo") -> int:
    from kosmolua.cli.output import show_error

    while isinstance(error, BaseExceptionGroup):  # asyncio wraps what a task raises
        error = error.exceptions[0]
    return show_error(failure_of(error, command), as_json=as_json)


def _dispatch(argv: list[str]) -> int:
    match argv:
        case ["help" | "--help" | "-h", command, *words] if not command.startswith("-"):
            return _help_on(command, words)
        case [] | ["--help" | "-h" | "help", *_]:
            print(_help(), file=sys.stdout if argv else sys.stderr)
            return 0 if argv else EXIT_USAGE
        case ["--version" | "-V", *_]:
            from kosmolua._version import __version__

            print(f"kosmolua {__version__}")
            return 0
    argv = _flags_last(argv) if argv[0].startswith("-") else argv
    command = SHORT.get(argv[0], argv[0])
    if command not in COMMANDS:
        raise _unknown(argv)
    _import_libraries()
    module = import_module(f"kosmolua.cli.{COMMANDS[command][0]}")
    if any(word.startswith("--jq") for word in argv):
        from kosmolua.cli import filter as filter_

        words, expression = filter_.taken(command, argv[1:])
        if expression is not None:
            return filter_.run(lambda given: int(module.run(command, given)), words, expression)
    status: int = module.run(command, argv[1:])
    return status


def _help_on(name: str, words: list[str]) -> int:
    """Print the help of a command, or of an action or function of it; for other names, the page with that name."""
    command = SHORT.get(name, name)
    if command == "topics":
        return _dispatch(["integrations:docs"])
    if command in COMMANDS:
        module = import_module(f"kosmolua.cli.{COMMANDS[command][0]}")
        own = words[:1] if (words and module.__name__.endswith(".call")) or hasattr(module, "ACTIONS") else []
        return _dispatch([command, *own, "--help"])
    from kosmolua.cli import reference

    if reference.has_page(name):
        return _dispatch(["integrations:docs", name])
    about = reference.topics_about(name)
    if about:
        meant = dict.fromkeys([about[0], *_near([name, *words], ())[:1]])
        raise UsageError(
            f"unknown name {name[:100]!r}; did you mean {' or '.join(meant)}?",
            hint=f"read the topic: kosmo help {about[0]}",
        )
    raise _unknown([name, *words], reference.page_names())


def _flags_last(argv: list[str]) -> list[str]:
    """The command line, with shared flags that precede the command moved to the place after it."""
    from kosmolua.cli.options import FLAGS

    flags: list[str] = []
    rest = argv
    while rest and rest[0].startswith("--"):
        name, equals, _ = rest[0].removeprefix("--").partition("=")
        if name.replace("-", "_") not in FLAGS:
            return argv
        takes = FLAGS[name.replace("-", "_")][0] is not None and not equals
        flags, rest = flags + rest[: 1 + takes], rest[1 + takes :]
    return [rest[0], *flags, *rest[1:]] if rest else argv


def _late(name: str) -> Callable[..., Any]:
    """A stand-in for a function of msgspec's JSON Schema module. Its first call imports that third of the package."""

    def call(*given: Any, **named: Any) -> Any:
        return getattr(import_module("msgspec._json_schema"), name)(*given, **named)

    return call


def _import_libraries() -> None:
    """Import msgspec and argparse without modules that no command needs: they take 1/7 of a short run's CPU time."""
    import _datetime  # type: ignore[import-not-found]  # not in typeshed

    # datetime.py defines every class in Python before it replaces them by those of _datetime, which are enough.
    standing_in = StandingIn(
        StandIn("platform", system=lambda: os.uname().sysname),
        StandIn("textwrap"),
        StandIn("gettext", gettext=str, ngettext=lambda one, more, count: one if count == 1 else more),
        StandIn("msgspec.inspect"),
        StandIn("msgspec._json_schema", schema=_late("schema"), schema_components=_late("schema_components")),
        datetime=_datetime,
    )
    typed = sys.modules.get("typing_extensions")
    if typed is None:  # since Python 3.11, typing has the three names that msgspec needs from it
        sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # importing it now fails
    try:
        with standing_in:
            import_module("msgspec")
            import_module("argparse")
    except (AttributeError, ImportError):  # an installed version needs more modules: the command imports both as usual
        for name in [name for name in sys.modules if name.partition(".")[0] in ("argparse", "msgspec")]:
            del sys.modules[name]
    finally:
        if typed is None:
            del sys.modules["typing_extensions"]


# What other programs call a command -> its name here.
_MEANT = {
    **dict.fromkeys(("auth", "init", "login", "setup", "token"), "integrations:configure"),
    **dict.fromkeys(("interactive", "prompt", "shell"), "repl"),
    **dict.fromkeys(("eval", "exec", "script"), "lua"),
    **dict.fromkeys(("lint", "test", "validate"), "check"),
    **dict.fromkeys(("ps", "jobs"), "predictions"),
    "cancel": "predictions cancel",
    "open": "predictions open",
    **dict.fromkeys(("history", "resume", "journal"), "runs"),
    **dict.fromkeys(("predict", "create"), "run"),
    **dict.fromkeys(("call", "api", "invoke"), "integrations:call"),
    **dict.fromkeys(("version", "v", "-v", "--v"), "--version"),
    "console": "serve",
    "functions": "integrations:replicate",
    "find": "integrations:search",
    **dict.fromkeys(("helpers", "man", "manual", "pages", "topics"), "integrations:docs"),
    "log": "audit",
    "logs": "audit",
    "cost": "prices",
    "stubs": "integrations:types",
    "whoami": "integrations:replicate get_account",
}


def _unknown(argv: list[str], pages: Iterable[str] = ()) -> UsageError:
    """The error for an unknown command, suggesting a similar command or one of ``pages``."""
    near = _near(argv, pages)
    return UsageError(
        f"unknown command {argv[0][:100]!r}" + (f"; did you mean {near[0]}?" if near else ""),
        hint="list the commands and topics: kosmo --help",
    )


def _near(argv: list[str], pages: Iterable[str]) -> list[str]:
    """Similar commands or pages. Commands such as mcp:serve are also recognized in two words."""
    from kosmolua.replicate.nearest import nearest

    command, names = argv[0], [*COMMANDS, *SHORT, *pages]
    joined = f"{command}:{argv[1]}" if argv[1:] else ""
    group, colon, tail = command.partition(":")
    if joined in COMMANDS or command in _MEANT:
        return [joined if joined in COMMANDS else _MEANT[command]]
    if colon and group == "integrations":  # another provider, unless the command is misspelled
        tails = {name.partition(":")[2]: name for name in COMMANDS if name.startswith("integrations:")}
        return [tails[one] for one in nearest(tail, tails, least=0.7)] or ["integrations:replicate"]
    return nearest(command, names)


def _help() -> str:
    from kosmolua.manual.topics import names
    from kosmolua.terminal.text import table, wrapped

    lines = table(((name, what) for name, (_, what) in COMMANDS.items()), styles=()).splitlines()
    titles = {f"  {name} ": title for name, title in _SECTIONS.items()}
    starts = [next((titles[head] for head in titles if f"{line} ".startswith(head)), None) for line in lines]
    rows = "\n".join(f"\n{title}:\n{line}" if title else line for title, line in zip(starts, lines, strict=True))

    more = wrapped(
        "Run kosmo COMMAND --help for the options of a command, and kosmo help NAME for a function, a script helper "
        "or a topic, such as kosmo help permissions. To try commands without an account:"
    )
    return f"""usage: kosmo COMMAND [ARGUMENTS]

{wrapped("LuaJIT workflows for the whole Replicate API, behind a permission gate.")}
{rows}

topics (kosmo help TOPIC; titles: kosmo help topics):
{wrapped(", ".join(names()), "  ")}

{more}
  kosmo run --emulate meta/meta-llama-3-8b-instruct prompt='a poem about rain'
  kosmo lua --emulate --eval 'return integrations.replicate.get_account{{}}'"""
