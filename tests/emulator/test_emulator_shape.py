from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import kosmolua.emulator
from kosmolua.emulator.handlers import HANDLERS
from kosmolua.errors import ConfigurationError
from kosmolua.replicate.catalogue import OPERATIONS

ROOM = Path(kosmolua.emulator.__file__).parent
ALLOWED = tuple(
    f"kosmolua.{name}" for name in ("emulator", "replicate.catalogue", "errors", "_version", "terminal.png")
)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def test_every_operation_has_a_handler():
    """The emulator handles exactly the operations of the catalog."""
    assert 37 == len(HANDLERS)
    assert {operation.name for operation in OPERATIONS} == set(HANDLERS)


@pytest.mark.parametrize("path", sorted(ROOM.rglob("*.py")), ids=lambda path: path.name)
def test_the_emulator_imports_no_client(path):
    """The emulator imports only the catalog, errors, version and PNG files of kosmolua. Only webhooks and cog open
    connections.
    """
    names = set(imported(path)) - ({"http.client"} if path.name in {"webhooks.py", "wire.py"} else set())

    assert not [name for name in names if name.startswith("kosmolua") and not name.startswith(ALLOWED)]
    assert not names & {"httpx", "requests", "urllib.request", "http.client"}


def test_importing_the_package_costs_nothing():
    """Importing the package does not load werkzeug."""
    code = "import sys, kosmolua.emulator; print('werkzeug' in sys.modules)"

    assert "False" == subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_without_werkzeug_the_error_names_the_extra():
    """Without werkzeug, using the emulator is a configuration error that names the extra."""
    code = (
        "import sys; sys.modules['werkzeug'] = None\n"
        "import kosmolua.emulator as e\n"
        "try: e.Emulator\n"
        "except Exception as error: print(type(error).__name__, error, error.hint)"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True)

    assert said.startswith(ConfigurationError.__name__)
    assert "werkzeug" in said
    assert "pip install 'kosmolua[emulator]'" in said


def test_public_names_exist():
    """Every public name can be loaded."""
    assert all(getattr(kosmolua.emulator, name) for name in kosmolua.emulator.__all__)
    with pytest.raises(AttributeError):
        kosmolua.emulator.nothing  # noqa: B018
