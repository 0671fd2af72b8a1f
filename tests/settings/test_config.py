"""The settings in force come from files and defaults; an untrusted project's file can only tighten them."""

import os
import re

import msgspec
import pytest

from kosmolua.errors import ConfigurationError
from kosmolua.gate.policy import policy_of
from kosmolua.manual.topics import topics
from kosmolua.settings import config, paths, trust
from kosmolua.settings.config import DEFAULTS, VERDICTS, Value, parse


class Home:
    """An environment with its own configuration directory, and a project next to that directory."""

    def __init__(self, path):
        self.environment = {"KOSMO_CONFIG_DIR": str(path / "config")}
        self.directory = str(path / "project" / "deep")
        self.own = path / "config" / "config.toml"
        self.project = path / "project" / ".kosmo" / "config.toml"
        for directory in (self.own.parent, self.project.parent, self.directory):
            os.makedirs(directory)

    def load(self, **flags):
        return config.load(self.environment, directory=self.directory, **flags)

    def trust(self):
        trust.trust(self.environment, str(self.project), self.project.read_bytes())


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def policy(read, write):
    return f'[replicate.permissions]\nread = "{read}"\nwrite = "{write}"\n'


def test_nothing_is_configured(home):
    """Without files, environment variables and flags, the defaults apply."""
    assert config.DEFAULTS == home.load()


def test_the_highest_layer_applies(home):
    """The order is flag, environment, project, global file, default; each value has its origin."""
    home.own.write_text('[replicate]\nurl = "https://own.example/v1"\n' + policy("allow", "allow"))
    home.project.write_text(policy("ask", "ask"))
    settings = home.load(write="deny")

    assert Value("https://own.example/v1", str(home.own)) == settings.url
    assert Value("ask", str(home.project)) == settings.read
    assert Value("deny", "--write") == settings.write
    home.environment["REPLICATE_URL"] = "https://env.example/v1"
    assert Value("https://env.example/v1", "REPLICATE_URL") == home.load().url


@pytest.mark.parametrize("own", VERDICTS)
@pytest.mark.parametrize("project", VERDICTS)
def test_an_untrusted_project_only_tightens(home, own, project):
    """The stricter verdict applies, and a notice reports the looser one."""
    home.own.write_text(policy(own, own))
    home.project.write_text(policy(project, project))
    stricter = max(own, project, key=VERDICTS.index)
    settings = home.load()

    assert (stricter, stricter) == (settings.read.value, settings.write.value)
    assert (VERDICTS.index(project) < VERDICTS.index(own)) == bool(settings.notices)


LOOSENING = {
    "url": 'url = "https://evil.example/v1"',
    "enabled": "enabled = true",
    "account": '[replicate.accounts.work]\nstorage = "file"',
    "account's url": '[replicate.accounts.default]\nurl = "https://evil.example/v1"',
    "write": '[replicate.permissions]\nwrite = "allow"',
    "rule": '[[replicate.rules]]\nfunctions = ["*"]\nverdict = "allow"',
}


@pytest.mark.parametrize("text", LOOSENING.values(), ids=LOOSENING)
def test_ignored_settings_of_an_untrusted_project(home, text):
    """Each setting is ignored, and the notices name the file and the command that trusts it."""
    home.own.write_text("[replicate]\nenabled = false\n")
    before = home.load()
    home.project.write_text(f"[replicate]\n{text}\n")
    settings = home.load()

    assert (before.url, before.enabled, before.write) == (settings.url, settings.enabled, settings.write)
    assert (before.accounts, before.rules) == (settings.accounts, settings.rules)
    assert str(home.project) in settings.notices[0]
    assert "kosmo integrations:trust" in settings.notices[-1]


def test_an_untrusted_project_may_disable_and_deny(home):
    """An untrusted project may disable a provider and deny calls, because both tighten the policy."""
    home.project.write_text(
        '[replicate]\nenabled = false\n[[replicate.rules]]\nfunctions = ["delete_*"]\nverdict = "deny"\n'
    )
    settings = home.load()

    assert (False, 1, ()) == (settings.enabled.value, len(settings.rules), settings.notices)


def test_a_trusted_project_may_loosen_until_it_changes(home):
    """Trust applies only to the exact content of the file."""
    home.project.write_text(policy("allow", "allow"))
    home.trust()

    assert "allow" == home.load().write.value
    home.project.write_text(policy("allow", "allow") + "# more\n")
    assert "ask" == home.load().write.value


def test_trust_is_for_one_path(home, tmp_path):
    """The same content at another path is not trusted, and trust can be revoked."""
    home.project.write_text(policy("allow", "allow"))
    home.trust()
    elsewhere = tmp_path / "elsewhere" / ".kosmo" / "config.toml"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_bytes(home.project.read_bytes())

    assert "ask" == config.load(home.environment, directory=str(tmp_path / "elsewhere")).write.value
    assert trust.revoke(home.environment, str(home.project))
    assert "ask" == home.load().write.value
    assert not trust.revoke(home.environment, str(home.project))


BROKEN = {
    "no TOML": ("[replicate\n", "line 1"),
    "not UTF-8": (b"\xff\xfe", "utf-8"),
    "type": ("[replicate]\nenabled = 'yes'\n", "got `str` - at `$.replicate.enabled`"),
    "verdict": ("[replicate.permissions]\nwrite = 'alow'\n", "Invalid enum value 'alow'"),
    "misspelt permission": ("[replicate.permissions]\nwirte = 'deny'\n", "unknown field `wirte`"),
    "header of our own": ("replicate.accounts.work.headers.Host = 'x'", "kosmolua sets this header"),
    "header of the catalogue": ("replicate.accounts.work.headers.prefer = 'wait'", "accounts.work.headers.prefer`"),
    "no header": ("replicate.accounts.work.headers.'a b' = 'x'", "expected the name of a header"),
    "header twice": ("[replicate.accounts.work.headers]\nA = 'x'\na = 'x'", "duplicate header"),
    "header with two lines": ('replicate.accounts.work.headers.a = "x\\r\\nB: y"', "printable ASCII on one line"),
    "header of two sources": ("replicate.accounts.work.headers.a = {env = 'A', stored = 'file'}", "expected text, {"),
    "header of no source": ("replicate.accounts.work.headers.a = {}", "expected text, {"),
    "header of no variable": ("replicate.accounts.work.headers.a = {env = 'A=1'}", "matching regex"),
    "no table": ("replicate = 3\n", "Expected `object`, got `int`"),
}


@pytest.mark.parametrize(("text", "why"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("which", ["own", "project"])
def test_an_invalid_file_prevents_the_run(home, which, text, why):
    """Nothing runs, because the file may have been meant to deny."""
    path = getattr(home, which)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ConfigurationError) as caught:
        home.load()

    assert str(path) in caught.value.message
    assert why in caught.value.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[other]", "unknown key other"),
        ("[replicate.permisions]\nwrite = 'deny'", "unknown key replicate.permisions (did you mean permissions?)"),
        ("[[replicate.rule]]\nverdict = 'deny'", "unknown key replicate.rule (did you mean rules?)"),
        ("[replicate.accounts.a]\nstorag = 'file'", "unknown key replicate.accounts.a.storag (did you mean storage?)"),
        ("replicat.x = 1\nb = 1\nc = 1\nd = 1",
         "unknown key replicat (did you mean replicate?), key b, key c, and more"),
        ("[replicate]\nenabeld = false", "unknown key replicate.enabeld (did you mean enabled?)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("which", ["own", "project"])
def test_an_unknown_key_is_an_error(home, which, text, words):
    """Nothing runs, because a misspelled key may have been meant to deny."""
    path = getattr(home, which)
    path.write_text(text)

    with pytest.raises(ConfigurationError) as caught:
        home.load()

    assert f"{path}: {words}" == caught.value.message


def test_accounts_without_the_default_one(home):
    """A script may name these accounts in addition to the default account."""
    assert [] == config.accounts(home.environment)
    home.own.write_text("[replicate.accounts.work]\n[replicate.accounts.default]\n[replicate.accounts.art]\n")
    assert ["art", "work"] == config.accounts(home.environment)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": "/h"}, "/h/.config/kosmolua"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "/x"}, "/x/kosmolua"),
        ({"HOME": "/h", "XDG_CONFIG_HOME": "relative"}, "/h/.config/kosmolua"),
        ({"HOME": "/h", "KOSMO_CONFIG_DIR": "/k"}, "/k"),
    ],
)
def test_the_place_of_the_configuration(environment, expected):
    """The location follows the XDG specification: a relative directory is ignored."""
    assert expected == paths.config_directory(environment)


@pytest.mark.parametrize("name", topics())
def test_toml_examples_of_the_docs_are_valid(name):
    """Every TOML example in the docs is valid and has no unknown keys."""
    blocks = re.findall(r"(?:^    \[.*\n(?:    .*\n|\n(?=    ))*)+", topics()[name], re.MULTILINE)
    assert bool(blocks) == (name in {"budgets", "configuration", "files", "permissions", "webhooks"})
    for block in blocks:
        file = parse("config.toml", re.sub(r"^ {4}", "", block, flags=re.MULTILINE).encode())
        policy_of(msgspec.structs.replace(DEFAULTS, rules=tuple(("docs", rule) for rule in file.provider.rules)))
