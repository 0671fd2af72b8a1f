"""The server is registered in the configuration files of clients: other content is kept, and no token is written."""

import json
import tomllib

import pytest

from kosmolua.cli import main

CODE = ".config/Code/User"
USER = {
    "claude-code": (".claude.json", "mcpServers"),
    "claude-desktop": (".config/Claude/claude_desktop_config.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (f"{CODE}/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
    "gemini-cli": (".gemini/settings.json", "mcpServers"),
    "windsurf": (".codeium/windsurf/mcp_config.json", "mcpServers"),
    "zed": (".config/zed/settings.json", "context_servers"),
    "opencode": (".config/opencode/opencode.json", "mcp"),
    "cline": (f"{CODE}/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json", "mcpServers"),
    "goose": (".config/goose/config.yaml", "extensions"),
    "copilot-cli": (".copilot/mcp-config.json", "mcpServers"),
}
PROJECT = {
    "claude-code": (".mcp.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".vscode/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
    "gemini-cli": (".gemini/settings.json", "mcpServers"),
    "zed": (".zed/settings.json", "context_servers"),
    "opencode": ("opencode.json", "mcp"),
    "copilot-cli": (".github/mcp.json", "mcpServers"),
}
VARIABLES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "COPILOT_HOME", "XDG_CONFIG_HOME")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Sets an empty home and project directory, and a token that must not be written."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked_token")
    monkeypatch.chdir(tmp_path / "project")


def loaded(path):
    text = path.read_text()
    assert "marked" not in text
    if path.suffix == ".yaml":
        section, _, entries = text.partition(":\n")
        return {
            section: {line.split(":")[0].strip(): json.loads(line.partition(":")[2]) for line in entries.splitlines()}
        }
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


def command_of(entry):
    """The command line in an entry, for any client's format."""
    if isinstance(entry["command" if "command" in entry else "cmd"], list):
        return entry["command"]
    return [entry.get("command") or entry["cmd"], *entry["args"]]


@pytest.mark.parametrize(("client", "project"), [(name, False) for name in USER] + [(name, True) for name in PROJECT])
def test_the_entry_is_written_to_the_clients_file(tmp_path, capfd, client, project):
    """The entry is written for the user or for a project, with the given flags; a second installation changes
    nothing."""
    base, (name, section) = (tmp_path / "project", PROJECT[client]) if project else (tmp_path / "home", USER[client])
    command = ["mcp:install", client, *(["--project"] if project else []), "--", "--code", "--write", "ask"]

    assert 0 == main(command)
    started = command_of(loaded(base / name)[section]["kosmolua"])
    before = (base / name).read_bytes()
    assert 0 == main(command)

    assert "mcp:serve" in started
    assert ["--code", "--write", "ask"] == started[-3:]
    assert ("kosmo" == started[0]) == project
    assert before == (base / name).read_bytes()
    assert f"registered kosmolua in {base / name}" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("client", "entry"),
    [
        ("claude-code", {"type": "stdio", "command": "kosmo", "args": ["mcp:serve"]}),
        ("cursor", {"command": "kosmo", "args": ["mcp:serve"]}),
        ("gemini-cli", {"command": "kosmo", "args": ["mcp:serve", "--client", "gemini"]}),
        ("zed", {"source": "custom", "command": "kosmo", "args": ["mcp:serve"], "env": {}}),
        ("opencode", {"type": "local", "command": ["kosmo", "mcp:serve"], "enabled": True}),
        ("copilot-cli", {"type": "local", "command": "kosmo", "args": ["mcp:serve"], "tools": ["*"]}),
    ],
)
def test_an_entry_has_the_form_of_the_client(tmp_path, client, entry):
    """Each client's entry has the keys that the client expects."""
    assert 0 == main(["mcp:install", client, "--project"])

    name, section = PROJECT[client]
    assert entry == loaded(tmp_path / "project" / name)[section]["kosmolua"]


@pytest.mark.parametrize(
    ("client", "variable", "file"),
    [
        ("claude-code", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("codex", "CODEX_HOME", "config.toml"),
        ("copilot-cli", "COPILOT_HOME", "mcp-config.json"),
        ("zed", "XDG_CONFIG_HOME", "zed/settings.json"),
        ("opencode", "XDG_CONFIG_HOME", "opencode/opencode.json"),
        ("goose", "XDG_CONFIG_HOME", "goose/config.yaml"),
    ],
)
def test_variables_of_the_client_are_honoured(tmp_path, monkeypatch, capfd, client, variable, file):
    """Environment variables change the location of clients' files; an empty variable counts as unset."""
    monkeypatch.setenv(variable, str(tmp_path / "moved"))
    assert 0 == main(["mcp:install", client])
    assert (tmp_path / "moved" / file).is_file()
    assert str(tmp_path / "moved" / file) in capfd.readouterr().out

    monkeypatch.setenv(variable, "")
    assert 0 == main(["mcp:install", client])
    assert (tmp_path / "home" / USER[client][0]).is_file()


def test_the_file_that_exists_is_used(tmp_path):
    """If opencode.jsonc exists, it is used instead of opencode.json, since opencode reads both."""
    (tmp_path / "project" / "opencode.jsonc").write_text("{ /* mine */ }")

    assert 0 == main(["mcp:install", "opencode", "--project"])

    assert "/* mine */" in (tmp_path / "project" / "opencode.jsonc").read_text()
    assert not (tmp_path / "project" / "opencode.json").exists()


@pytest.mark.parametrize("client", USER)
def test_an_entry_is_removed(tmp_path, capfd, client):
    """Other servers are kept; a second removal changes nothing and creates no file."""
    path = tmp_path / "home" / USER[client][0]
    assert 0 == main(["mcp:uninstall", client])
    assert not path.exists()
    assert 0 == main(["mcp:install", client, "--name", "other"])
    before = path.read_bytes()
    assert 0 == main(["mcp:install", client])
    capfd.readouterr()

    assert 0 == main(["mcp:uninstall", client])
    assert f"removed kosmolua from {path}" in capfd.readouterr().out
    assert before.rstrip() == path.read_bytes().rstrip()
    assert 0 == main(["mcp:uninstall", client, "--json"])
    assert {
        "success": True, "client": client, "path": str(path), "name": "kosmolua", "removed": False,
    } == json.loads(capfd.readouterr().out)  # fmt: skip


@pytest.mark.parametrize("flags", [(), ("--project",)])
def test_no_other_file_is_left(tmp_path, capfd, flags):
    """Registering and removing the server leaves no file besides the client's own."""
    assert [0, 0] == [main([f"mcp:{action}", "cursor", *flags]) for action in ("install", "uninstall")]
    where = tmp_path / ("project" if flags else "home")

    assert ["mcp.json"] == [path.name for path in where.rglob("*") if path.is_file()]


def test_a_client_without_project_files_is_reported(capfd):
    """Claude Desktop has no files for projects, which is reported."""
    assert 2 == main(["mcp:install", "claude-desktop", "--project"])

    assert "Claude Desktop has no configuration file for a project" in capfd.readouterr().err


def test_other_entries_are_kept(tmp_path):
    """Other servers, settings and comments are kept in their order."""
    home = tmp_path / "home"
    (home / ".claude.json").write_text('{"z": [1, {}], "mcpServers": {"other": {"command": "x"}}, "a": null}')
    (home / ".codex").mkdir()
    (home / ".codex" / "config.toml").write_text('# mine\nmodel = "m" # best\n\n[mcp_servers.other]\ncommand = "x"\n')

    for client in ("claude-code", "codex"):
        assert 0 == main(["mcp:install", client, "--name", "kosmo"])

    found = loaded(home / ".claude.json")
    assert ["z", "mcpServers", "a"] == list(found)
    assert ([1, {}], {"command": "x"}, None) == (found["z"], found["mcpServers"]["other"], found["a"])
    assert "kosmo" in found["mcpServers"]
    text = (home / ".codex" / "config.toml").read_text()
    assert text.startswith('# mine\nmodel = "m" # best\n\n[mcp_servers.other]\ncommand = "x"\n')
    assert {"other", "kosmo"} == tomllib.loads(text)["mcp_servers"].keys()


@pytest.mark.parametrize(
    ("client", "content"),
    [
        ("claude-code", "{"),
        ("claude-code", "[]"),
        ("vscode", '{ "servers": {} /* mine }'),
        ("vscode", '{ "servers": {} "a": 1 }'),
        ("zed", "\xff"),
        ("goose", "extensions: [a]\n"),
        ("goose", "extensions:\n- name: a\n"),
        ("goose", "{}"),
        ("cursor", '{"mcpServers": []}'),
        ("codex", "= 1"),
        ("codex", "mcp_servers = 1"),
    ],
)
def test_an_invalid_file_is_unchanged(tmp_path, capfd, client, content):
    """An invalid file is left unchanged, and the error has the command that prints the entry."""
    path = tmp_path / "home" / USER[client][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode("latin-1"))

    assert 4 == main(["mcp:install", client])

    assert content.encode("latin-1") == path.read_bytes()
    assert f"invalid configuration file {path}" in (told := capfd.readouterr().err)
    assert f"kosmo mcp:export {client}" in told


@pytest.mark.parametrize("client", PROJECT)
def test_an_entry_is_printed(tmp_path, capfd, client):
    """`mcp:export` prints the content that an installation would write into an empty file; nothing is written."""
    assert 0 == main(["mcp:export", client, "--project", "--", "--emulate"])
    printed = capfd.readouterr().out
    assert [] == list((tmp_path / "project").iterdir()) == list((tmp_path / "home").iterdir())

    assert 0 == main(["mcp:install", client, "--project", "--", "--emulate"])
    assert printed == (tmp_path / "project" / PROJECT[client][0]).read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["mcp:install", "claude"], "did you mean claude-code?"),
        (["mcp:export", "emacs"], "expected one of claude-code, claude-desktop, cursor, vscode, codex"),
        (["mcp:install", "cursor", "--", "--nosuch"], "unrecognized arguments: --nosuch"),
        (["mcp:install"], "missing client; expected one of claude-code"),
        (["mcp:install", "cursor", "--emulate"], "hint: run kosmo mcp:install cursor -- --emulate\n"),
        (["mcp:export", "--code", "cursor"], "hint: run kosmo mcp:export CLIENT -- --code cursor\n"),
        (["mcp:install", "cursor", "more"], "put flags of mcp:serve after --"),
        (["mcp:install", "cursor", "--name", "a b"], "expected at most 64 letters, digits, - and _"),
        (["mcp:serve", "--write", "yes"], "invalid choice: 'yes'"),
    ],
)
def test_invalid_flags_are_refused(capfd, argv, words):
    """Invalid flags are reported before anything is written."""
    assert 2 == main(argv)
    assert words in capfd.readouterr().err
