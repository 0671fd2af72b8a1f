"""``skill``: a file that teaches agents to use this version of kosmo."""

from __future__ import annotations

import argparse
import os
import re

from kosmolua._version import __version__
from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.errors import EXIT_FAILED
from kosmolua.terminal.safe import safe

_VERSION = re.compile(r"^kosmolua-version: (\S+)$", re.MULTILINE)
_HEAD = """---
name: kosmolua
description: {about}
kosmolua-version: {version}
---

# Replicate with kosmo

This text belongs to kosmo {version}. If `kosmo --version` prints another version, this text is out of date: run
`kosmo skill --install{project}` and read it again.

Run a script with `kosmo lua FILE`, or `kosmo lua --eval CODE`; one call with `kosmo integrations:call`. Add `--json`
for one JSON object, `--emulate` to try without an account, `--max-cost N` and `--max-predictions N` for a budget. Read
about functions with `kosmo integrations:search WORDS` and `kosmo integrations:docs NAME`. Check a script before it runs
with `kosmo check FILE`. Exit status: 0 done, 1 failed, 2 usage, 3 permission, 4 not configured, 5 a limit or budget.
Scripts that the user keeps: `kosmo scripts list`.

Where the text below names execute_lua, search_docs and read_docs, it means tools of `kosmo mcp:serve --code`; without
them use the commands above.

"""
_ABOUT = (
    "Run machine-learning models on Replicate with Lua scripts or single calls, behind a permission gate. Use it to "
    "create predictions, wait for them, chain models, save files, and look at costs."
)


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    path, text = _path(parsed), _text(project=parsed.project)
    if parsed.install:
        return _install(parsed, path, text)
    if parsed.check:
        return _check(parsed, path)
    output.write_text(text)
    return 0


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Print a skill file for agents, generated from this version. The file tells agents how to see that it is "
        "out of date.",
        f"kosmo {command} --install",
    )
    action = made.add_mutually_exclusive_group()
    action.add_argument(
        "--install", action="store_true", help="write the file where agents look for skills: skills/kosmolua/SKILL.md"
    )
    action.add_argument(
        "--check", action="store_true", help="fail if the installed file is missing or from another version"
    )
    made.add_argument(
        "--project", action="store_true", help="install the skill for this directory (default: for this user)"
    )
    made.add_argument(
        "--dir", metavar="DIR", help="install into this skills directory (default: the one of Claude Code)"
    )
    options_.add_json(made)
    return made


def _path(parsed: argparse.Namespace) -> str:
    own = os.environ.get("CLAUDE_CONFIG_DIR") or os.path.join(os.path.expanduser("~"), ".claude")
    directory = parsed.dir or os.path.join(".claude" if parsed.project else own, "skills")
    return os.path.abspath(os.path.join(directory, "kosmolua", "SKILL.md"))


def _text(*, project: bool) -> str:
    from kosmolua.mcp.docs import WORKFLOWS

    return _HEAD.format(about=_ABOUT, version=__version__, project=" --project" if project else "") + WORKFLOWS


def _install(parsed: argparse.Namespace, path: str, text: str) -> int:
    from kosmolua.settings.atomic import rewrite

    rewrite(path, lambda _: text.encode())
    if parsed.json:
        output.show_json({"success": True, "path": path, "version": __version__})
    else:
        print(safe(f"installed the skill for kosmo {__version__} as {path}"))
    return 0


def _check(parsed: argparse.Namespace, path: str) -> int:
    found = _installed(path)
    is_current = found == __version__
    if parsed.json:
        output.show_json({"success": is_current, "path": path, "installed": found, "version": __version__})
    elif is_current:
        print(safe(f"{path} is from this version, {__version__}"))
    else:
        what = f"is from version {found}, not from this version, {__version__}" if found else "does not exist"
        print(safe(f"{path} {what}; install it: kosmo skill --install"))
    return 0 if is_current else EXIT_FAILED


def _installed(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            found = _VERSION.search(file.read(2000))
    except OSError:
        return None
    return found[1] if found else None
