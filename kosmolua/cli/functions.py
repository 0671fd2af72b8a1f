"""``--functions MODULE:NAME``: Python functions that a script may call as ``custom.NAME{...}``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from kosmolua.errors import UsageError

_EXAMPLE = "example: --functions tools:FUNCTIONS, where tools.py has FUNCTIONS = {'notify': notify}"


def load(given: str | None) -> dict[str, Any]:
    """The functions by name. Imports the module, also from the current directory. Raises a `UsageError`."""
    if given is None:
        return {}
    module, colon, name = given.partition(":")
    if not colon or not module or not name:
        raise UsageError(f"--functions: expected MODULE:NAME, got {given!r}", hint=_EXAMPLE)
    found = getattr(_imported(module), name, None)
    if callable(found):
        return {name: found}
    if not isinstance(found, Mapping):
        what = "missing" if found is None else f"a {type(found).__name__}"
        raise UsageError(
            f"--functions: {name} of {module} is {what}; expected a dictionary of functions", hint=_EXAMPLE
        )
    return dict(found)


def _imported(module: str) -> Any:
    from importlib import import_module

    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        return import_module(module)
    except Exception as error:
        raise UsageError(
            f"--functions: cannot import {module}: {type(error).__name__}: {error}",
            hint=f'see the whole error: python -c "import {module}"',
        ) from error
