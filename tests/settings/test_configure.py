"""A change to a file keeps the rest byte for byte, and no change is lost."""

import os
import stat
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.errors import ConfigurationError, CredentialError, KosmoError
from kosmolua.settings import config, credentials, trust
from kosmolua.settings.atomic import rewrite
from kosmolua.settings.edit import Change, apply, edited

COMMENTED = """# my settings

[replicate] # the provider
enabled = false   # for now
rules = [{ verdict = "deny", functions = ["delete_*", "x_*"] }]

[replicate.permissions]
read = "allow" # all of them

[files]
read = ['y']
"""


@pytest.fixture
def environment(tmp_path):
    return {"KOSMO_CONFIG_DIR": str(tmp_path / "config"), "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring"}


@pytest.fixture
def own(tmp_path):
    return tmp_path / "config" / "config.toml"


@pytest.fixture
def stored(tmp_path):
    return tmp_path / "config" / "credentials.json"


def test_comments_and_other_keys_are_kept():
    """An edit changes only its own line."""
    text = edited("f", COMMENTED.encode(), [(("replicate", "enabled"), True)]).decode()

    assert COMMENTED.replace("enabled = false", "enabled = true") == text


NAMES = st.sampled_from(["a", "b", "replicate", "x y", "ü.é", '"'])
KEYS = st.sampled_from(["backend", "url"])
VALUES = st.one_of(st.none(), st.text(st.characters(codec="utf-8"), max_size=20))
EDITS = st.one_of(
    st.tuples(st.tuples(NAMES, KEYS), VALUES),
    st.tuples(st.tuples(NAMES), st.none()),
)


@given(st.lists(EDITS, max_size=8))
def test_an_edit_has_exactly_its_effect(edits):
    """After an edit the file equals a plain dictionary with that change, for any names and values."""
    content, expected = b"", {}
    for (account, *key), value in edits:
        content = edited("f", content, [(("replicate", "accounts", account, *key), value)])
        if not key:
            expected.pop(account, None)
        elif value is None:
            expected.get(account, {}).pop(key[0], None)
        else:
            expected.setdefault(account, {})[key[0]] = value

    assert expected == tomllib.loads(content.decode()).get("replicate", {}).get("accounts", {})


def test_an_edit_with_side_effects_is_refused():
    """If the file's form prevents the edit, the error shows the line to write, and nothing changes."""
    content = b'replicate.enabled = true\nreplicate.permissions = {read="ask"}\n'

    with pytest.raises(ConfigurationError) as caught:
        edited("f", content, [(("replicate", "accounts", "a", "storage"), "file")])

    assert 'change it by hand: replicate.accounts.a.storage = "file"' == caught.value.hint


def test_without_a_keyring_a_token_is_stored_in_a_file(environment, own, stored):
    """Only its owner can read the file; the configuration has the place of the token, not the token."""
    done = apply(Change(set={"api_key": " r8_token \n"}), environment)

    assert ("file", ("api_key",)) == (done.storage, done.changed)
    assert 0o600 == stat.S_IMODE(stored.stat().st_mode)
    assert "r8_token" not in own.read_text()
    assert "r8_token" == credentials.find(environment, config.load(environment).accounts).reveal()


def test_the_environment_overrides_the_store(environment):
    """A token in the environment overrides the stored token of the default account; REPLICATE_API_KEY comes first."""
    apply(Change(set={"api_key": "r8_stored"}), environment)
    apply(Change(account="work", set={"api_key": "r8_work"}), environment)
    accounts = config.load(environment).accounts
    both = {**environment, "REPLICATE_API_TOKEN": "r8_b", "REPLICATE_API_KEY": " r8_a "}

    assert ("r8_a", "REPLICATE_API_KEY") == (
        credentials.find(both, accounts).reveal(),
        credentials.find(both, accounts).origin,
    )
    assert "r8_work" == credentials.find(both, accounts, "work").reveal()
    assert "r8_stored" == credentials.find({**environment, "REPLICATE_API_KEY": " "}, accounts).reveal()


def test_a_header_is_stored_like_a_token(environment, own, stored):
    """The store has the header's value, and the file only its place. The header can be replaced and removed, in any
    case.
    """
    own.parent.mkdir()
    own.write_text('[replicate.accounts.work.headers]\nX-Gateway = "plain"\nX-Team = "media"\n')
    apply(Change(account="work", set={"header.x-gateway": "marked"}), environment)
    accounts = config.load(environment).accounts

    assert "marked" not in own.read_text()
    assert "marked" in stored.read_text()
    found = credentials.headers_of(environment, accounts, "work")
    assert [("X-Team", "media", False), ("x-gateway", "marked", True)] == [tuple(each) for each in found]

    apply(Change(account="work", unset=("header.X-GATEWAY",)), environment)
    assert "marked" not in stored.read_text()
    assert ["X-Team"] == list(config.load(environment).accounts["work"].headers)


def test_removing_an_account_removes_its_headers(environment, own, stored):
    """Nothing of the account remains in the store."""
    apply(Change(account="work", set={"api_key": "r8_x", "header.x-gateway": "marked"}), environment)
    apply(Change(account="work", remove=True), environment)

    assert "marked" not in stored.read_text()
    assert "work" not in own.read_text()


def test_a_header_without_a_value(environment, own):
    """The error of a call names the missing variable and says what to do."""
    own.parent.mkdir()
    own.write_text('[replicate.accounts.work.headers]\nx-gateway = { env = "GATEWAY" }\n')
    accounts = config.load(environment).accounts

    with pytest.raises(ConfigurationError, match="account work, header x-gateway: no value in GATEWAY") as caught:
        credentials.headers_of(environment, accounts, "work")
    assert "set it: export GATEWAY=…" == caught.value.hint
    with pytest.raises(ConfigurationError, match="printable ASCII") as caught:
        credentials.headers_of({**environment, "GATEWAY": "marked\nvalue"}, accounts, "work")
    assert "marked" not in caught.value.message


def test_an_account_is_removed(environment, own, stored):
    """Removing an account removes its token; other accounts are unchanged."""
    apply(Change(account="work", set={"api_key": "r8_work", "url": "https://w.example/v1"}), environment)
    apply(Change(account="art", set={"api_key": "r8_art"}), environment)
    apply(Change(account="work", remove=True), environment)

    assert ["art"] == config.accounts(environment)
    assert "r8_work" not in stored.read_text()
    with pytest.raises(ConfigurationError, match="unknown account 'work'"):
        credentials.find(environment, config.load(environment).accounts, "work")


def test_a_token_is_removed(environment):
    """The account remains without its token; removing the token again changes nothing."""
    apply(Change(account="work", set={"api_key": "r8_work"}), environment)

    assert ("api_key",) == apply(Change(account="work", unset=("api_key",)), environment).changed
    assert () == apply(Change(account="work", unset=("api_key",)), environment).changed
    with pytest.raises(CredentialError, match="account 'work' has no API token"):
        credentials.find(environment, config.load(environment).accounts, "work")


WRONG = {
    "unknown key": (Change(set={"apikey": "x"}), "no field 'apikey'"),
    "unknown unset": (Change(unset=("nope",)), "no field 'nope'"),
    "both": (Change(set={"url": "https://a.example"}, unset=("url",)), "set and unset"),
    "empty token": (Change(set={"api_key": "  "}), "empty"),
    "token with a space": (Change(set={"api_key": "r8 secretsecret"}), "not shown here"),
    "url": (Change(set={"url": "ftp://x"}), "expected a URL"),
    "account name": (Change(account="a b", set={"url": "https://a.example"}), "for an account name"),
    "account named as a function": (Change(account="get_account", enabled=True), "name of a function"),
    "no such account": (Change(account="wrk", remove=True), "unknown account 'wrk'"),
    "nothing to move": (Change(storage="file"), "nothing is stored"),
    "removed and set": (Change(remove=True, set={"url": "https://a.example"}), "remove and change"),
}


@pytest.mark.parametrize(("change", "why"), WRONG.values(), ids=WRONG)
def test_an_invalid_change_is_refused(environment, own, stored, change, why):
    """An invalid change is refused before anything is written, and the message does not have its value."""
    with pytest.raises(KosmoError, match=why) as caught:
        apply(change, environment)

    assert not own.exists()
    assert not stored.exists()
    assert "secretsecret" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"replicate": {"default": 3}}', b"\xff", b'{"replicate": null}'])
def test_a_corrupt_store_is_never_overwritten(environment, stored, content):
    """Reads and writes report a corrupt store without its content, and leave the store for repair."""
    apply(Change(set={"api_key": "r8_one"}), environment)
    stored.write_bytes(content)

    with pytest.raises(CredentialError, match="cannot parse"):
        apply(Change(account="work", set={"api_key": "r8_two"}), environment)
    with pytest.raises(CredentialError, match="cannot parse"):
        credentials.find(environment, config.load(environment).accounts)
    assert content == stored.read_bytes()


def test_a_corrupt_configuration_is_never_overwritten(environment, own):
    """The error names the corrupt file, which is unchanged."""
    own.parent.mkdir()
    own.write_bytes(b"[replicate\n# half of it")

    with pytest.raises(ConfigurationError, match="cannot parse"):
        apply(Change(enabled=True), environment)
    assert b"[replicate\n# half of it" == own.read_bytes()


def test_a_store_that_others_can_read_is_refused(environment, stored):
    """A store with loose permissions is refused, because others may have read the tokens."""
    apply(Change(set={"api_key": "r8_one"}), environment)
    stored.chmod(0o644)

    with pytest.raises(CredentialError, match=r"readable by other users \(mode 644; expected 600\)") as caught:
        credentials.find(environment, config.load(environment).accounts)
    assert "chmod 600" in caught.value.hint


def test_a_project_changed_by_its_owner_remains_trusted(environment, tmp_path):
    """A file changed with the configure command is trusted; one that came with the project is not."""
    apply(Change(permissions={"write": "allow"}, scope="project"), environment, str(tmp_path))
    assert "allow" == config.load(environment, directory=str(tmp_path)).write.value
    file = tmp_path / ".kosmo" / "config.toml"
    file.write_text(file.read_text() + "# somebody else\n")
    apply(Change(permissions={"read": "ask"}, scope="project"), environment, str(tmp_path))

    assert not trust.is_trusted(environment, str(file), file.read_bytes())
    assert "ask" == config.load(environment, directory=str(tmp_path)).write.value


def test_a_token_is_never_stored_in_a_project(environment, tmp_path, own, stored):
    """A project is shared, so no token is stored in it."""
    apply(Change(set={"api_key": "r8_mine"}, permissions={"read": "ask"}, scope="project"), environment, str(tmp_path))

    assert "r8_mine" not in (tmp_path / ".kosmo" / "config.toml").read_text()
    assert "r8_mine" in stored.read_text()


def test_a_link_remains_a_link(environment, own, tmp_path):
    """A change to a linked file changes the link's target."""
    elsewhere = tmp_path / "dotfiles" / "config.toml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(COMMENTED)
    elsewhere.chmod(0o640)
    own.parent.mkdir()
    own.symlink_to(elsewhere)
    apply(Change(enabled=True), environment)

    assert own.is_symlink()
    assert "enabled = true   # for now" in elsewhere.read_text()
    assert 0o640 == stat.S_IMODE(elsewhere.stat().st_mode)


def test_a_failed_change_leaves_the_file(tmp_path):
    """After a failed change the file is intact, with no other file next to it."""
    path = tmp_path / "f"
    path.write_bytes(b"before")

    def fail(content):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        rewrite(str(path), fail)
    assert b"before" == path.read_bytes()
    assert ["f"] == os.listdir(tmp_path)


def test_a_directory_that_cannot_be_written(tmp_path):
    """The error for a read-only directory is a sentence, not a traceback."""
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigurationError, match="cannot write"):
        rewrite(str(tmp_path / "file" / "config.toml"), lambda content: b"x")


PROCESSES, CALLS, ACCOUNTS = 8, 40, 10
WORKER = f"""
import os, sys, tomllib
from kosmolua.cli import main
sys.stdout = sys.stderr = open(os.devnull, "w")
me, path, wanted = sys.argv[1], sys.argv[2], {{}}
for call in range({CALLS}):
    account, url = f"p{{me}}a{{call % {ACCOUNTS}}}", f"https://h{{call}}.example/v1"
    wanted[account] = url
    token = f"api_key=r8_{{me}}_{{call}}"
    arguments = ["integrations:configure", "--account", account, "--set", f"url={{url}}", "--set", token]
    assert 0 == main([*arguments, "--storage", "file"]), arguments
    with open(path, "rb") as file:
        found = tomllib.load(file)["replicate"]["accounts"]
    assert wanted == {{name: found[name]["url"] for name in wanted}}
"""


def test_hundreds_of_changes_from_eight_processes(environment, own):
    """Each process reads back all its own changes, and at the end every value is present."""
    running = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(me), str(own)], env={**os.environ, **environment})
        for me in range(PROCESSES)
    ]
    assert [0] * PROCESSES == [process.wait(300) for process in running]
    accounts = config.load(environment).accounts

    assert PROCESSES * ACCOUNTS == len(accounts)
    for me in range(PROCESSES):
        for number in range(ACCOUNTS):
            last = CALLS - ACCOUNTS + number
            name = f"p{me}a{number}"
            assert f"https://h{last}.example/v1" == accounts[name].url
            assert f"r8_{me}_{last}" == credentials.find(environment, accounts, name).reveal()
