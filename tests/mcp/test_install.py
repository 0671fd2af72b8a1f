"""Entering the server into the files of clients: what was there stays, and no token gets in."""

import json
import tomllib

import pytest

from kosmolua.cli import main

USER = {
    "claude-code": (".claude.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".config/Code/User/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
}
PROJECT = {
    "claude-code": (".mcp.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".vscode/mcp.json", "servers"),
    "codex": (".codex/config.toml", "mcp_servers"),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """A home and a project that are empty, and a token that must not get in."""
    for name in ("home", "project"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked_token")
    monkeypatch.chdir(tmp_path / "project")


def loaded(path):
    text = path.read_text()
    assert "marked" not in text
    return tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)


@pytest.mark.parametrize("client", USER)
def test_it_is_entered_where_the_client_looks(tmp_path, capfd, client):
    """For the user and for a project, with the flags that were given; a second time changes nothing."""
    for flags, base, (name, section) in (
        ([], tmp_path / "home", USER[client]),
        (["--project"], tmp_path / "project", PROJECT[client]),
    ):
        command = ["mcp:install", client, *flags, "--", "--code", "--write", "ask"]
        assert 0 == main(command)
        entry = loaded(base / name)[section]["kosmolua"]
        assert ["mcp:serve", "--code", "--write", "ask"] == entry["args"][-4:]
        assert ("kosmo" == entry["command"]) == bool(flags)
        before = (base / name).read_bytes()
        assert 0 == main(command)
        assert before == (base / name).read_bytes()
    assert f"registered kosmolua in {base / name}" in capfd.readouterr().out


def test_what_is_there_stays(tmp_path):
    """Other servers, other settings and comments stay as they are, in their order."""
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
        ("vscode", '{ "servers": {} // mine\n}'),
        ("cursor", '{"mcpServers": []}'),
        ("codex", "= 1"),
        ("codex", "mcp_servers = 1"),
    ],
)
def test_a_file_that_is_not_understood_stays(tmp_path, capfd, client, content):
    """It is told, with the command that prints what to enter by hand."""
    path = tmp_path / "home" / USER[client][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)

    assert 4 == main(["mcp:install", client])

    assert content == path.read_text()
    assert f"invalid configuration file {path}" in (told := capfd.readouterr().err)
    assert f"kosmo mcp:export {client}" in told


@pytest.mark.parametrize("client", USER)
def test_it_is_printed(tmp_path, capfd, client):
    """The export is what an empty file would become; nothing is written."""
    assert 0 == main(["mcp:export", client, "--project", "--", "--emulate"])
    printed = capfd.readouterr().out
    assert [] == list((tmp_path / "project").iterdir()) == list((tmp_path / "home").iterdir())

    assert 0 == main(["mcp:install", client, "--project", "--", "--emulate"])
    assert printed == (tmp_path / "project" / PROJECT[client][0]).read_text()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["mcp:install", "claude"], "did you mean claude-code?"),
        (["mcp:export", "emacs"], "expected one of claude-code, cursor, vscode, codex"),
        (["mcp:install", "cursor", "--", "--nosuch"], "unrecognized arguments: --nosuch"),
        (["mcp:install", "cursor", "more"], "put flags of mcp:serve after --"),
        (["mcp:serve", "--write", "yes"], "invalid choice: 'yes'"),
    ],
)
def test_what_is_no_command(capfd, argv, words):
    """Wrong flags are told before anything is written."""
    assert 2 == main(argv)
    assert words in capfd.readouterr().err
