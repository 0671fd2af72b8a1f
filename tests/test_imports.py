"""The shape of the house, read from its import statements: which room may know which."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "kosmolua"

# room -> the rooms of this package it may import from; a room may always import from itself.
MAY_IMPORT = {
    "errors": set(),
    "_version": set(),
    "__init__": {"errors", "_version", "gate", "host", "replicate", "runtime"},
    "__main__": {"cli"},
    "settings": {"errors", "replicate"},
    "replicate": {"errors", "_version"},
    "runtime": {"errors"},
    "gate": {"errors", "settings", "replicate", "terminal"},
    "journal": {"errors", "settings", "replicate", "gate"},
    "services": {"errors", "settings", "replicate", "gate", "manual"},
    "manual": {"errors", "replicate", "terminal"},
    "terminal": {"errors", "emulator"},
    "emulator": {"errors", "_version", "replicate"},
    "check": {"errors", "replicate", "gate", "manual", "runtime"},
    "host": {"errors", "settings", "replicate", "gate", "journal", "services", "runtime", "emulator"},
    "mcp": {"errors", "_version", "settings", "manual", "replicate", "gate", "terminal", "runtime", "host"},
    "cli": {
        *{"errors", "_version", "settings", "replicate", "gate", "journal", "services", "manual", "terminal"},
        *{"runtime", "emulator", "host", "mcp", "repl", "check"},
    },
    "repl": {
        *{"errors", "settings", "replicate", "gate", "journal", "services", "manual", "terminal"},
        *{"runtime", "emulator", "cli"},
    },
}
# library -> the only modules that may import it
ONLY_IN = {
    "lupa": {"runtime/state.py"},
    "httpx": {f"replicate/{name}.py" for name in ("httpx_transport", "client", "routes", "transfer")},
    "httptools": {"replicate/head.py"},
    "http.client": {"emulator/webhooks.py"},
    "PIL": {"terminal/images.py"},
    "keyring": {"settings/credentials.py"},
    "tomlkit": {"settings/allowances.py", "settings/edit.py", "mcp/install.py"},
    "mcp": {"mcp/server.py"},
    "mcp_types": {"mcp/server.py"},
    "pydantic": {"mcp/server.py"},
    "anyio": {"mcp/server.py"},
    "prompt_toolkit": {"repl/line.py", "repl/shell.py"},
    "werkzeug": {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "emulator").rglob("*.py")},
}


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def room(path):
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_flow_one_way(path):
    """A module imports from the rooms below its own, and a guarded library in its one place alone."""
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "kosmolua":
            assert rest.split(".")[0] in MAY_IMPORT[room(path)] | {room(path)}, name
        for library, allowed in ONLY_IN.items():
            if f"{name}.".startswith(f"{library}."):
                assert path.relative_to(PACKAGE).as_posix() in allowed, name


def test_the_emulator_shares_no_code_with_the_client():
    """A mistake they shared would agree with itself: of replicate the emulator knows the catalogue alone."""
    names = {name for path in (PACKAGE / "emulator").rglob("*.py") for name in imported(path)}

    assert not {name for name in names if name.startswith("kosmolua.replicate") and "catalogue" not in name}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import kosmolua", {"httpx", "lupa", "msgspec", "typing"}),
        ("import kosmolua.cli", {"httpx", "lupa", "msgspec", "argparse", "typing"}),
        ("import kosmolua.cli.lua", {"httpx", "lupa", "werkzeug", "ssl", "subprocess", "inspect"}),
        (
            "from kosmolua.cli import main; main(['lua', '--eval', 'return 1'])",
            {"httpx", "lupa", "ssl", "socket", "hashlib", "keyring", "tomlkit", "tomllib", "kosmolua.gate.session"},
        ),
        ("from kosmolua.cli import main; main(['lua', '--eval', 'return 1'])", {"kosmolua.check.look"}),
        (
            "from kosmolua.cli import main; main(['lua', '--eval', 'print(#args)'])",
            {"kosmolua.check.rules.inputs", "kosmolua.check.engine", "kosmolua.manual", "kosmolua.gate.policy"},
        ),
        (
            "import kosmolua.cli.call",
            {"httpx", "lupa", "werkzeug", "ssl", "subprocess", "keyring", "tomlkit", "tomllib"},
        ),
        ("from kosmolua.gate.session import Session", {"sqlite3", "zoneinfo", "kosmolua.gate.ledger"}),
        ("from kosmolua import Host", {"httpx", "lupa", "werkzeug", "ssl", "keyring", "tomlkit", "tomllib"}),
        ("import kosmolua.cli.configure", {"httpx", "lupa", "ssl", "keyring", "tomlkit"}),
        ("import kosmolua.cli.webhooks", {"httpx", "lupa", "ssl", "subprocess", "keyring", "tomlkit"}),
        ("import kosmolua.cli.model", {"httpx", "lupa", "ssl", "subprocess", "keyring", "tomlkit"}),
        ("import kosmolua.cli.live", {"msgspec", "unicodedata", "kosmolua.gate"}),
        ("import kosmolua.emulator", {"werkzeug", "msgspec"}),
        ("import kosmolua.cli.repl, kosmolua.runtime.begun", {"msgspec", "prompt_toolkit"}),
        ("import kosmolua.repl.line", {"msgspec", "httpx", "kosmolua.settings.config", "kosmolua.replicate.catalogue"}),
    ],
)
def test_what_costs_time_is_imported_late(statement, absent):
    """A fresh interpreter proves what a command does not load before it needs it."""
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not absent & set(run.stdout.split())
