"""``integrations:types``: write type stubs of the script API for lua-language-server."""

from __future__ import annotations

import os
import sys
from shlex import quote

from kosmolua.cli import options as options_
from kosmolua.cli.options import Options
from kosmolua.cli.output import show_json, to_json, write_text
from kosmolua.errors import UsageError

LIBRARY = "types"
SETTINGS = ".luarc.json"
MODELS, FUNCTIONS = "models.lua", "custom.lua"


def run(command: str, argv: list[str]) -> int:
    made = options_.parser(
        command,
        f"Write {LIBRARY}/*.lua and {SETTINGS}, with which lua-language-server completes and checks scripts.",
        f"kosmo {command} --out . --model black-forest-labs/flux-schnell",
    )
    made.add_argument("--out", metavar="DIR", default=".", help="write to the directory of the scripts (default: .)")
    made.add_argument(
        "--model", metavar="MODEL", action="append", default=[],
        help="include the inputs and output of a model: owner/name or owner/name:version; repeatable",
    )  # fmt: skip
    options_.add_functions(
        made,
        "also declare Python functions as custom.NAME{...}; NAME in MODULE is a dictionary of functions or one "
        "function",
    )
    options_.add_shared(made)
    parsed = made.parse_args(argv)
    options = options_.shared(parsed)
    if options.dry_run:
        raise UsageError("--dry-run cannot be used with this command", hint="write to another directory: --out DIR")
    more = {MODELS: _models(parsed.model, options)} if parsed.model else {}
    if parsed.functions:
        more[FUNCTIONS] = _functions(command, parsed.functions)
    files, kept = _written(parsed.out, more)
    if parsed.json:
        show_json({"success": True, "files": files, "kept": kept})
    else:
        write_text("".join(f"{path}\n" for path in files))
    if kept:
        print(f'kosmo: kept your {kept[0]}; add "{LIBRARY}" to its workspace.library', file=sys.stderr)
    return 0


def _functions(command: str, given: str) -> str:
    """The stubs of the user's own functions."""
    from kosmolua.cli import functions
    from kosmolua.gate.custom import customs_of
    from kosmolua.manual.custom_stubs import custom_stubs

    customs = customs_of(functions.load(given))
    return custom_stubs([each.declared() for each in customs.values()], f"kosmo {command} --functions {given}")


def _models(names: list[str], options: Options) -> str:
    """The stubs of the models. Their schemas are fetched through the gate."""
    from kosmolua.cli.host import host_of
    from kosmolua.cli.model import of_model
    from kosmolua.manual.model_stubs import model_stubs

    for name in names:
        of_model(name)
    found = {}
    with host_of(options, isolation="none") as host:
        versions = host.versions()
        for name in names:
            version = versions.find(name)
            if version is None:
                raise UsageError(
                    f"{name} has no version, and therefore no known inputs", hint=f"show it: kosmo model {quote(name)}"
                )
            found[name] = version
    return model_stubs(found)


def _written(directory: str, more: dict[str, str]) -> tuple[list[str], list[str]]:
    """Write the files. Returns the written files, and existing files of the user that were kept."""
    from kosmolua.manual import stubs
    from kosmolua.settings import config

    settings = to_json(stubs.settings(LIBRARY)) + "\n"
    texts = {
        os.path.join(LIBRARY, name): text for name, text in {**stubs.stubs(config.accounts(os.environ)), **more}.items()
    }
    try:
        os.makedirs(os.path.join(directory, LIBRARY), exist_ok=True)
        for name, text in texts.items():
            _write(os.path.join(directory, name), text)
        path = os.path.join(directory, SETTINGS)
        own = os.path.exists(path) and _read(path) != settings
        if not own:
            _write(path, settings)
    except OSError as error:
        raise UsageError(
            f"cannot write into {directory!r}: {error.strerror}", hint="choose another directory: --out DIR"
        ) from None
    files = [os.path.join(directory, name) for name in texts]
    return (files, [path]) if own else ([*files, path], [])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
