"""Checks the structure of the package from its import statements: which room may import from which."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from recording_server import RecordingServer

PACKAGE = Path(__file__).parent.parent / "kosmolua"

# From the entry points down. A room may import from itself and from lower lines, never from others on its line.
ROOMS = (
    ("__main__",),
    ("cli",),
    ("console", "serve"),
    ("mcp", "repl", "worker", "__init__"),
    ("check", "host", "testing"),
    ("inbound", "page"),
    ("services",),
    ("journal",),
    ("gate",),
    ("emulator", "manual", "settings"),
    ("replicate", "runtime", "terminal"),
    ("_version", "errors"),
)
# room -> the only rooms that may import from it
KNOWN_TO = {
    "runtime": {"check", "cli", "host", "manual", "mcp", "repl", "worker", "__init__"},
    "emulator": {"cli", "host", "testing"},
    "cli": {"__main__"},
    "mcp": {"cli"},
    "repl": {"cli"},
    "worker": {"cli", "console", "serve"},
    "console": {"cli"},
    "serve": {"cli"},
}
# library -> the only modules that may import it
ONLY_IN = {
    "lupa": {"runtime/state.py"},
    "httpx": {f"replicate/{name}.py" for name in ("httpx_transport", "client", "routes", "transfer")},
    "httptools": {"replicate/head.py"},
    "http.client": {"emulator/webhooks.py", "emulator/cog/wire.py"},
    "pytest": {"testing.py"},
    "PIL": {"terminal/images.py"},
    "jq": {"cli/filter.py"},
    "keyring": {"settings/credentials.py"},
    "tomlkit": {"settings/allowances.py", "settings/edit.py", "mcp/install.py"},
    "mcp": {"mcp/http.py"},
    "mcp_types": set(),
    "uvicorn": {"inbound/server.py"},
    "starlette": {
        *{"mcp/http.py", "console/app.py", "console/requests.py"},
        *(f"serve/{name}.py" for name in ("app", "bounds", "replicate", "triggers")),
    },
    "prometheus_client": {"serve/metrics.py"},
    "opentelemetry": {"serve/spans.py"},
    "prompt_toolkit": {"repl/line.py", "repl/shell.py"},
    "psycopg": {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "worker").rglob("*.py")},
    "procrastinate": set(),
    "psycopg_pool": set(),
    "werkzeug": {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "emulator").rglob("*.py")}
    | {"host/recorder.py"},
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


def lower_than(room):
    """The rooms on the lines below the room's own."""
    (line,) = (number for number, rooms in enumerate(ROOMS) if room in rooms)
    return {name for rooms in ROOMS[line + 1 :] for name in rooms}


def may_import(room):
    return {room} | {name for name in lower_than(room) if room in KNOWN_TO.get(name, {room})}


def test_every_room_is_known():
    """Each room of the package is on one line of the list; add new rooms there, and delete removed ones."""
    assert sorted({room(path) for path in modules()}) == sorted(name for rooms in ROOMS for name in rooms)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_flow_one_way(path):
    """A module imports only from rooms below its own, and a guarded library is imported only by its listed modules."""
    allowed_rooms = may_import(room(path))
    for name in imported(path):
        top, _, rest = name.partition(".")
        if top == "kosmolua":
            assert rest.split(".")[0] in allowed_rooms, name
        for library, allowed in ONLY_IN.items():
            if f"{name}.".startswith(f"{library}."):
                assert path.relative_to(PACKAGE).as_posix() in allowed, name


def loaded(path):
    """The imports of a module that are executed, without those only for type annotations."""
    tree = ast.parse(path.read_text())
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing:
            yield from ({node.module, f"{node.module}.{alias.name}"} for alias in node.names)


def test_no_module_imports_itself_through_others():
    """There are no import cycles between modules, not even within a room."""
    names = {".".join(("kosmolua", *path.relative_to(PACKAGE).with_suffix("").parts)): path for path in modules()}
    graph = {name: set().union(*loaded(path)) & names.keys() - {name} for name, path in names.items()}

    assert graph.keys() == set(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=lambda path: path.parent.name)
def test_a_room_says_what_it_contains(path):
    """The first paragraph of a room's docstring is exactly one sentence."""
    first = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n\n")[0]

    assert re.fullmatch(r"[A-Z][^.]{20,200}\.", first), first


def test_the_emulator_shares_no_code_with_the_client():
    """The emulator imports only the catalogue from replicate, since a mistake in shared code would not be found."""
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
            {
                *{"httpx", "lupa", "ssl", "socket", "hashlib", "keyring", "tomlkit", "tomllib", "json", "base64"},
                *{"copy", "unicodedata", "kosmolua.gate.session", "kosmolua.check", "kosmolua.cli.precheck"},
            },
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
        ("import kosmolua.runtime.worker", {"enum", "signal", "typing", "collections", "contextlib", "re", "lupa"}),
        ("from kosmolua.gate.session import Session", {"sqlite3", "zoneinfo", "kosmolua.gate.ledger"}),
        ("from kosmolua import Host", {"httpx", "lupa", "werkzeug", "ssl", "keyring", "tomlkit", "tomllib"}),
        ("import kosmolua.cli.configure", {"httpx", "lupa", "ssl", "keyring", "tomlkit"}),
        ("import kosmolua.cli.webhooks", {"httpx", "lupa", "ssl", "subprocess", "keyring", "tomlkit"}),
        ("import kosmolua.cli.model", {"httpx", "lupa", "ssl", "subprocess", "keyring", "tomlkit"}),
        ("import kosmolua.cli.live", {"msgspec", "unicodedata", "kosmolua.gate"}),
        (
            "import kosmolua.cli.mcp, kosmolua.mcp.server, kosmolua.host.host",
            {"mcp", "pydantic", "anyio", "asyncio", "json", "httpx", "lupa", "ssl", "tomlkit"},
        ),
        ("import kosmolua.emulator", {"werkzeug", "msgspec"}),
        ("import kosmolua.cli.repl, kosmolua.runtime.launch", {"msgspec", "prompt_toolkit"}),
        ("import kosmolua.repl.line", {"msgspec", "httpx", "kosmolua.settings.config", "kosmolua.replicate.catalogue"}),
    ],
)
def test_slow_modules_are_imported_late(statement, absent):
    """A command in a new interpreter does not load the slow modules that it does not need."""
    code = f"{statement}; import sys; print('\\n'.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not absent & set(run.stdout.split())


def test_one_call_loads_no_unneeded_modules(tmp_path):
    """A call to a server on this machine loads neither httpx nor the modules for TLS, proxies, lost calls and files."""
    code = "from kosmolua.cli import main; main(ARGS); import sys; print('\\n'.join(sys.modules), file=sys.stderr)"
    args = ["integrations:call", "replicate.get_account", "--json"]
    server = RecordingServer()
    run = subprocess.run(
        [sys.executable, "-c", code.replace("ARGS", repr(args))],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "REPLICATE_URL": f"{server.url}/v1", "REPLICATE_API_TOKEN": "x"},
    )
    server.close()

    assert 1 == len(server.requests)
    assert set() == set(run.stderr.split()) & {
        *{"httpx", "ssl", "keyring", "click", "rich", "hashlib", "random", "email.utils", "encodings.idna"},
        *{"http.client", "urllib.request", "tempfile", "lupa", "werkzeug", "tomllib", "sqlite3", "json"},
    }
