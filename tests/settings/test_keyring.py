"""Tokens in a real Secret Service can be stored, read, listed, moved and removed, and the service can be locked."""

import json
import os
import subprocess
import sys

import pytest
from secret_service import SecretService, missing

ADVICE = "install dbus, gnome-keyring and libsecret-1-0 to run this"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    if missing():
        message = f"no {' and '.join(missing())} on this machine: {ADVICE}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    made = SecretService(tmp_path_factory.mktemp("service"))
    yield made
    made.close()


@pytest.fixture
def kosmo(service, tmp_path):
    """Run a command with the Secret Service. The output never has the token."""

    def run(*argv, stdin=b"", **env):
        process = subprocess.run(
            [sys.executable, "-m", "kosmolua", *argv, "--json"],
            check=False,
            input=stdin,
            capture_output=True,
            cwd=tmp_path,
            env={**service.environment, "KOSMO_CONFIG_DIR": str(tmp_path), **env},
            timeout=60,
        )
        assert b"r8_" not in process.stdout + process.stderr
        return process.returncode, json.loads(process.stdout)

    return run


def store(kosmo, token, *argv):
    text = json.dumps({"set": {"api_key": token}}).encode()
    return kosmo("integrations:configure", "--stdin-json", *argv, stdin=text)


def sent(kosmo, server, *argv):
    """The token that a call sends."""
    status, answer = kosmo("integrations:call", "replicate.get_account", *argv, REPLICATE_URL=server.url)
    assert 0 == status, answer
    return server.requests[-1].headers["authorization"].removeprefix("Bearer ")


def test_a_token_is_stored_and_sent(kosmo, server, tmp_path):
    """The token is in the keyring and in no file; this also holds for named accounts and for Lua."""
    status, answer = store(kosmo, "r8_default")
    store(kosmo, "r8_work", "--account", "work")

    assert (0, "keyring") == (status, answer["storage"])
    assert "r8_default" == sent(kosmo, server)
    assert "r8_work" == sent(kosmo, server, "--account", "work")
    assert ["config.toml"] == [name for name in os.listdir(tmp_path) if not name.startswith(".")]
    assert "r8_" not in (tmp_path / "config.toml").read_text()
    script = "integrations.replicate.work.get_account{} integrations.replicate.get_account{}"
    status, _ = kosmo("lua", "--eval", script, REPLICATE_URL=server.url)
    assert 0 == status
    assert ["Bearer r8_work", "Bearer r8_default"] == [
        request.headers["authorization"] for request in server.requests[-2:]
    ]


def test_accounts_are_listed(kosmo):
    """The list shows each account with the place of its token."""
    store(kosmo, "r8_work", "--account", "work")
    _, answer = kosmo("integrations:status")

    assert {"default": None, "work": "keyring"} == {
        item["account"]: item["credential"]["origin"] for item in answer["providers"][0]["accounts"]
    }


def test_a_token_moves(kosmo, server, tmp_path):
    """A token moves to a file and back; its previous place no longer has it."""
    store(kosmo, "r8_moving")
    kosmo("integrations:configure", "--storage", "file")

    assert "r8_moving" == sent(kosmo, server)
    assert "r8_moving" in (tmp_path / "credentials.json").read_text()
    _, answer = kosmo("integrations:configure", "--storage", "keyring")
    assert "keyring" == answer["storage"]
    assert "r8_moving" not in (tmp_path / "credentials.json").read_text()
    assert "r8_moving" == sent(kosmo, server)


def test_a_token_is_removed(kosmo):
    """After the removal, a call's error says what to do."""
    store(kosmo, "r8_gone")
    kosmo("integrations:configure", "--remove")
    status, answer = kosmo("integrations:call", "replicate.get_account")

    assert (4, "not_authenticated") == (status, answer["code"])
    assert "kosmo integrations:configure replicate" in answer["meta"]["hint"]


def test_doctor_names_the_keyring(kosmo):
    """The doctor command names the keyring and the origin of the credential."""
    store(kosmo, "r8_token")
    status, answer = kosmo("integrations:doctor", "--offline")
    checks = {check["check"]: check["message"] for check in answer["checks"]}

    assert 0 == status
    assert "keyring.backends.SecretService.Keyring" == checks["keyring"]
    assert "account default has a token (from keyring)" == checks["credential"]


def test_a_locked_keyring(kosmo, service, tmp_path):
    """Reading, storing, moving and removing report a locked keyring, and nothing changes."""
    store(kosmo, "r8_before")
    before = (tmp_path / "config.toml").read_bytes()
    service.lock()
    tried = [
        kosmo("integrations:call", "replicate.get_account"),
        store(kosmo, "r8_after"),
        kosmo("integrations:configure", "--storage", "file"),
        kosmo("integrations:configure", "--unset", "api_key"),
        kosmo("integrations:configure", "--remove"),
    ]

    assert {(4, "not_authenticated")} == {(status, answer["code"]) for status, answer in tried}
    assert {True} == {"locked" in answer["error"] for _, answer in tried}
    assert before == (tmp_path / "config.toml").read_bytes()
    assert not (tmp_path / "credentials.json").exists()


def test_without_a_keyring(kosmo):
    """Without a keyring a token is stored in a file; an explicit --storage keyring fails."""
    nowhere = {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nowhere"}
    text = b'{"set": {"api_key": "r8_token"}}'
    status, answer = kosmo("integrations:configure", "--stdin-json", stdin=text, **nowhere)

    assert (0, "file") == (status, answer["storage"])
    status, answer = kosmo("integrations:configure", "--stdin-json", "--storage", "keyring", stdin=text, **nowhere)
    assert (4, True) == (status, "no keyring available" in answer["error"])
