"""Sets and removes budgets in the user's config.toml. Keeps the file's comments, order and unknown keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from kosmolua.errors import ConfigurationError, UsageError
from kosmolua.replicate.catalogue import PROVIDER
from kosmolua.settings import config, paths
from kosmolua.settings.atomic import rewrite
from kosmolua.settings.config import Allowance


def set_budget(name: str, changes: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[Allowance, str]:
    """Change or add a budget; a value of None removes a limit or a condition. Returns the budget and its file.

    Raises a `UsageError` for a budget without limits.
    """
    path = paths.global_file(environment)
    result: list[Allowance] = []

    def change(content: bytes) -> bytes:
        before = config.parse(path, content).provider.budgets
        old = next((each for each in before if each.name == name), None)
        budget = _changed(name, old, changes)
        result.append(budget)
        budgets = [budget if each.name == name else each for each in before] + ([] if old else [budget])
        return _edited(path, content, budgets, lambda tables: _put(tables, budget))

    rewrite(path, change)
    return result[-1], path


def remove_budget(name: str, environment: Mapping[str, str]) -> str:
    """Remove a budget. Returns its file. Raises a `UsageError` if no budget has that name."""
    path = paths.global_file(environment)

    def change(content: bytes) -> bytes:
        before = config.parse(path, content).provider.budgets
        if name not in [each.name for each in before]:
            raise UsageError(
                f"no budget {name!r} in {path}"
                + (f"; found {', '.join(each.name for each in before)}" if before else ""),
                hint="list all budgets with their files: kosmo budget show",
            )
        return _edited(
            path, content, [each for each in before if each.name != name], lambda tables: _drop(tables, name)
        )

    rewrite(path, change)
    return path


def _changed(name: str, old: Allowance | None, changes: Mapping[str, Any]) -> Allowance:
    fields = {**(msgspec.to_builtins(old) if old else {"name": name}), **changes}
    given = {key: value for key, value in fields.items() if value is not None}
    if "period" not in given:
        raise UsageError(f"no period for the new budget {name!r}", hint="add --per day, --per week or --per month")
    try:
        budget = msgspec.convert(given, Allowance)
        config.check_budgets([budget])
    except msgspec.ValidationError as error:
        why = str(error).partition(" - at ")[0].removeprefix(f"budget {name!r} ")
        raise UsageError(f"budget {name!r}: {why}") from None
    return budget


def _edited(path: str, content: bytes, budgets: list[Allowance], edit: Callable[[list[Any]], None]) -> bytes:
    """The file's new content. Raises a `ConfigurationError` if anything but the budgets would change."""
    import tomlkit

    document = tomlkit.parse(content.decode())
    provider = document.setdefault(PROVIDER, tomlkit.table(is_super_table=True))
    tables = provider.get("budgets")
    if tables is None or not len(tables):
        provider.pop("budgets", None)
        tables = provider["budgets"] = tomlkit.aot()
    edit(tables)
    if not len(tables):
        del provider["budgets"]
    new = tomlkit.dumps(document).encode()
    before = config.parse(path, content)
    after = _parsed(path, new)
    wanted = msgspec.structs.replace(before.provider, budgets=budgets)
    if after is None or after.provider != wanted or after.directories != before.directories:
        raise ConfigurationError(
            f"cannot change the budgets in {path} without changing other parts of it; nothing was changed",
            hint="edit [[replicate.budgets]] in the file by hand",
        )
    return new


def _parsed(path: str, content: bytes) -> config.File | None:
    try:
        return config.parse(path, content)
    except ConfigurationError:
        return None


def _put(tables: list[Any], budget: Allowance) -> None:
    import tomlkit

    written: dict[str, Any] = msgspec.to_builtins(budget)
    table = next((each for each in tables if each.get("name") == budget.name), None)
    if table is None:
        table = tomlkit.table()
        tables.append(table)
    for key in [key for key in table if key in Allowance.__struct_fields__ and key not in written]:
        del table[key]
    table.update(written)


def _drop(tables: list[Any], name: str) -> None:
    tables.pop(next(number for number, each in enumerate(tables) if each.get("name") == name))
