"""Model names are known while typing: models seen before at once, others from a background request."""

import json
import os
import socket
import threading
import time
from pathlib import Path

import pytest
from recording_server import Answer
from waiting import scaled

from kosmolua import Host
from kosmolua.cli.options import Options
from kosmolua.gate.budget import Caps
from kosmolua.repl.calls import Calls
from kosmolua.repl.models import Models
from kosmolua.services.names import MAX_ABOUT, MAX_NAMES, MAX_RANKED, Names, models_in

FLUX = "black-forest-labs/flux-schnell"


class Hosts:
    def __init__(self, host):
        self.host = host

    def session(self, watcher):
        return self.host.session("the prompt", watcher=watcher)

    def files(self):
        return self.host.files()

    def close(self):
        self.host.close()


class Asked:
    """A model lookup whose background results can be waited for."""

    def __init__(self, calls, **options):
        self.calls = calls
        self.models = Models(calls, **options)
        self._told = threading.Event()
        self.models.changed = self._told.set

    def until(self, look):
        """The result of a lookup after the background request has found something."""
        self._told.clear()
        look()
        assert self._told.wait(10)
        return look()

    @property
    def made(self):
        return [entry.function for entry in self.calls.session().log]


@pytest.fixture
def asked(tmp_path, monkeypatch):
    monkeypatch.setenv("KOSMO_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("KOSMO_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    opened = []

    def make(emulate=True, pause=0.02, **options):
        given = Options()
        given.emulate = emulate
        host = Host(emulate=emulate, prepare=False, **options)
        made = Asked(Calls(given, Hosts(host)), pause=pause)
        opened.append(made)
        return made

    yield make
    for made in opened:
        made.models.close()
        made.calls.close()


def test_inputs_of_a_model_are_requested_once(asked):
    """The first lookup finds nothing and does not wait; the log has the reason for the call."""
    here = asked()
    assert here.models.version(FLUX) is None
    found = here.until(lambda: here.models.version(FLUX))

    assert "prompt" == found.inputs.fields[0].name
    assert here.models.version(FLUX) is found
    assert [("get_model", "for completion")] == [(entry.function, entry.note) for entry in here.calls.session().log]


def test_an_unknown_model_is_requested_once(asked):
    """An unknown model, or text that is not a model, is requested once."""
    here = asked()
    for reference in ("nobody/nothing", "no model"):
        assert here.until(lambda reference=reference: here.models.version(reference)) is None
        assert here.models.version(reference) is None
    assert here.until(lambda: here.models.version(FLUX))

    assert ["get_model", "get_model"] == here.made


def test_typing_makes_one_request(asked):
    """Only the last query within the pause is requested."""
    here = asked(pause=0.2)
    for end in range(1, len("flux-schnell")):
        here.models.names("flux-schnell"[:end])
    found = here.until(lambda: here.models.names("flux-schnell"))

    assert FLUX == found[0][0]
    assert ["search"] == here.made


def test_an_empty_word_lists_models_to_run(asked):
    """Each model in the list has a short description."""
    here = asked()
    found = here.until(lambda: here.models.names(""))

    assert FLUX in dict(found)
    assert all(about for _, about in found)
    assert ["list_models"] == here.made


@pytest.mark.parametrize(
    "options",
    [{"read": "ask"}, {"read": "deny"}, {"caps": Caps(calls=5)}, {"dry_run": True}, {"read": "deny", "force": True}],
    ids="-".join,
)
def test_no_request_if_it_needs_approval_or_counts(options, asked):
    """Nothing is requested if the policy asks or denies, if a cap counts the call, or if nothing may be sent."""
    here = asked(**options)

    assert here.until(lambda: here.models.version(FLUX)) is None
    assert [] == here.until(lambda: here.models.names("flux"))
    assert [] == here.made


def test_the_emulators_models_are_kept_separate(asked, tmp_path):
    """Each model is known only for its own API, and models of the emulator are not stored."""
    here = asked()
    here.until(lambda: here.models.names("flux"))
    here.calls.options.emulate = False

    assert [] == here.models.names("flux")
    here.models.close()
    assert not (tmp_path / "cache").exists()


def test_seen_models_are_stored(asked, server, monkeypatch):
    """Models seen before are suggested the next day without a request."""
    monkeypatch.setenv("REPLICATE_URL", server.url)
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked")
    server.default = Answer(body=json.dumps({"models": [{"model": {"owner": "a", "name": "upscaler"}}]}).encode())
    here = asked(emulate=False)
    here.models.note({"owner": "me", "name": "mine", "description": "It is mine."})
    here.until(lambda: here.models.names("upscal"))
    here.models.close()
    again = asked(emulate=False, pause=60)

    assert [("me/mine", "It is mine.")] == again.models.names("min")
    assert [("a/upscaler", "")] == again.models.names("up")
    assert 0o600 == os.stat(os.path.join(os.environ["KOSMO_CACHE_DIR"], "models.json")).st_mode & 0o777


def test_leaving_during_a_request(asked, monkeypatch):
    """The request is abandoned silently."""
    failed = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    monkeypatch.setenv("REPLICATE_API_KEY", "r8_marked")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("REPLICATE_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        here = asked(emulate=False, pause=0.01)
        here.models.version("a/b")
        connection, _ = silent.accept()
        began = time.perf_counter()
        here.models.close()
        here.calls.close()
        took = time.perf_counter() - began
        connection.close()
    for thread in threading.enumerate():
        if thread.name == "kosmolua models":
            thread.join(10)

    assert took < scaled(0.5)
    assert [] == failed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"owner": "a", "name": "b", "description": "what"}, [("a/b", "what")]),
        ({"owner": "a", "name": "b", "current_release": {}}, [("deployments/a/b", "")]),
        ({"id": "x", "model": "a/b", "input": {}}, [("a/b", "")]),
        ({"results": [{"owner": "a", "name": "b"}, {"model": "c/d"}]}, [("a/b", ""), ("c/d", "")]),
        ({"models": [{"model": {"owner": "a", "name": "b"}, "metadata": {}}]}, [("a/b", "")]),
        ({"owner": "a", "name": "b/c"}, []),
        ({"model": "\x1b[2J"}, []),
        ({"results": "x", "models": [None, 1]}, []),
        (None, []),
        ("text", []),
        ([{"owner": "a", "name": "b"}], []),
    ],
)
def test_models_in_an_answer(answer, expected):
    """Names are taken from models, deployments, and the models of predictions, and from nothing else."""
    assert expected == list(models_in(answer))


def test_the_order_of_suggestions():
    """First come names that begin with the word, then names that contain it, descriptions, and search results; last
    seen first.
    """
    names = Names(None)
    names.add([("a/upscale", ""), ("upscale/b", ""), ("c/d", "An UPSCALE model"), ("e/f", ""), ("upscale/c", "")])

    found = [name for name, _ in names.ranked("upscale", ["e/f", "a/upscale"])]
    assert ["upscale/c", "upscale/b", "a/upscale", "c/d", "e/f"] == found


def test_the_size_of_the_file_is_limited(tmp_path):
    """The names seen last are kept, and descriptions are truncated."""
    path = str(tmp_path / "models.json")
    names = Names(path)
    names.add([(f"a/m{number}", "\x1b " + "x" * 1000) for number in range(MAX_NAMES + 5)])
    names.keep()
    kept = Names(path).ranked("")

    assert MAX_NAMES == len(json.loads(Path(path).read_bytes()))
    assert MAX_RANKED == len(kept)
    assert (f"a/m{MAX_NAMES + 4}", "x" * MAX_ABOUT) == kept[0]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"a/b": 1}', b"\xff"])
def test_an_invalid_file_is_rewritten(content, tmp_path):
    """An invalid file counts as missing and is rewritten."""
    path = tmp_path / "models.json"
    path.write_bytes(content)
    names = Names(str(path))
    assert [] == names.ranked("")
    names.add([("a/b", "")])
    names.keep()

    assert {"a/b": ""} == json.loads(path.read_text())


def test_two_prompts_share_the_file(tmp_path):
    """Neither prompt overwrites the other's names."""
    path = str(tmp_path / "models.json")
    one, other = Names(path), Names(path)
    one.add([("a/one", "")])
    other.add([("a/other", "")])
    one.keep()
    other.keep()

    assert {"a/one", "a/other"} == {name for name, _ in Names(path).ranked("")}
