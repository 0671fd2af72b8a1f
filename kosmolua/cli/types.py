"""``integrations:types``: what an editor needs to know a script's world, for lua-language-server."""

from __future__ import annotations

import os
import sys

from kosmolua.cli import options as options_
from kosmolua.cli.options import Options
from kosmolua.cli.output import show_json, to_json, write_text
from kosmolua.errors import UsageError

LIBRARY = "types"
SETTINGS = ".luarc.json"
MODELS = "models.lua"


def run(command: str, argv: list[str]) -> int:
    made = options_.parser(
        command,
        f"Writes {LIBRARY}/*.lua and {SETTINGS}, by which lua-language-server completes and checks scripts.",
        f"kosmo {command} --out . --model black-forest-labs/flux-schnell",
    )
    made.add_argument("--out", metavar="DIR", default=".", help="where the scripts are (default: here)")
    made.add_argument(
        "--model", metavar="MODEL", action="append", default=[],
        help="write what this one takes and gives, too, as owner/name or owner/name:version; repeatable",
    )  # fmt: skip
    options_.add_shared(made)
    parsed = made.parse_args(argv)
    options = options_.shared(parsed)
    if options.dry_run:
        raise UsageError("nothing can be written in a dry run", hint="write elsewhere and look: --out DIR")
    models = {MODELS: _models(parsed.model, options)} if parsed.model else {}
    files, kept = _written(parsed.out, models)
    if parsed.json:
        show_json({"success": True, "files": files, "kept": kept})
    else:
        write_text("".join(f"{path}\n" for path in files))
    if kept:
        print(f'kosmo: {kept[0]} is your own and stays; add "{LIBRARY}" to its workspace.library', file=sys.stderr)
    return 0


def _models(names: list[str], options: Options) -> str:
    """The stubs of models, which are asked for as everything is: past the gate."""
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
                raise UsageError(f"{name} has no version, and no input to know of", hint=f"see it: kosmo model {name}")
            found[name] = version
    return model_stubs(found)


def _written(directory: str, models: dict[str, str]) -> tuple[list[str], list[str]]:
    """The files that were written, and those that were there and are not ours to change."""
    from kosmolua.manual import stubs
    from kosmolua.settings import config

    settings = to_json(stubs.settings(LIBRARY)) + "\n"
    texts = {
        os.path.join(LIBRARY, name): text
        for name, text in {**stubs.stubs(config.accounts(os.environ)), **models}.items()
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
        raise UsageError(f"cannot write into {directory!r}: {error.strerror}", hint="give another --out DIR") from None
    files = [os.path.join(directory, name) for name in texts]
    return (files, [path]) if own else ([*files, path], [])


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
