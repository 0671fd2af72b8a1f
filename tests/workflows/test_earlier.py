"""`run` with a cache uses an earlier result if that still exists, and does not pay for it again."""

import msgspec
import pytest

from kosmolua.errors import ArgumentError, ScriptError
from kosmolua.gate.files import Files
from kosmolua.gate.uploads import Uploads
from kosmolua.replicate import catalogue, structs
from kosmolua.services import earlier
from kosmolua.services.services import Services

HELLO = 'run("replicate/hello-world", { text = "Ada" }, { cache = "1h" })'


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KOSMO_CACHE_DIR", str(tmp_path / "kept"))


def creates(flow):
    return sum(method == "POST" for method, _, _ in flow.server.requests)


def test_an_equal_prediction_is_reused(flow):
    """The earlier prediction is used in the same script and in later ones, and the log says so."""
    first, second = flow(f"local _, a = {HELLO} local _, b = {HELLO} return a.id, b.id")
    output, later = flow(f"local output, c = {HELLO} return output, c.id")

    assert (first, first, "hello Ada") == (second, later, output)
    assert 1 == creates(flow)
    assert ["reused its output"] == [entry.note for entry in flow.log if entry.function == "get_prediction"]


def test_another_input_is_another_prediction(flow):
    """With another input, or without a cache, the model runs."""
    flow(f'{HELLO} run("replicate/hello-world", {{ text = "Bob" }}, {{ cache = "1h" }})')
    flow('run("replicate/hello-world", { text = "Ada" })')

    assert 3 == creates(flow)


def test_predictions_of_other_programs_are_found(flow, tmp_path):
    """Predictions unknown to this machine are looked for in the account."""
    made = flow('local _, p = run("replicate/hello-world", { text = "Ada" }) return p.id')
    found = flow(f"local _, p = {HELLO} return p.id")

    assert made == found
    assert 1 == creates(flow)
    assert not (tmp_path / "kept" / "predictions").exists()


def test_a_removed_output_is_not_reused(flow):
    """The API deletes an output after an hour; then the model runs again."""
    flow.serve(speed=3000)
    flow(HELLO)
    flow("sleep(1.5)")
    flow(HELLO)

    assert 2 == creates(flow)


def test_a_failed_prediction_is_not_reused(flow):
    """If the earlier prediction failed, the model runs again."""
    for _ in range(2):
        with pytest.raises(ScriptError, match="this model always fails"):
            flow('run("kosmolua/always-fails", {}, { cache = "1h" })')

    assert 2 == creates(flow)


def test_files_count_by_their_content(flow):
    """The same picture under another name is the same input."""
    flow('download(run("black-forest-labs/flux-schnell", { prompt = "x", width = 16, height = 16 })[1], "a.png")')
    (flow.directory / "b.png").write_bytes((flow.directory / "a.png").read_bytes())
    flow.server.requests.clear()
    for name in ("a.png", "b.png"):
        flow(f'run("nightmareai/real-esrgan", {{ image = file("{name}"), scale = 2 }}, {{ cache = "1h" }})')

    assert 1 == creates(flow)


@pytest.mark.parametrize("age", ['"soon"', '"1 h"', "7", '"99999999999d"'])
def test_an_invalid_age(flow, age):
    """The error shows the valid form, and nothing runs."""
    with pytest.raises(ScriptError, match="expected an age such as"):
        flow(f'run("replicate/hello-world", {{ text = "Ada" }}, {{ cache = {age} }})')

    assert 0 == creates(flow)


def run_of(text, options='cache = "1h"'):
    return f'run("replicate/hello-world", {{ text = "{text}" }}, {{ {options} }})'


CHANGING = {
    "while it runs": """
        local input = { text = "Ada" }
        run("replicate/hello-world", input, { cache = "1h", on_progress = function() input.text = "Bob" end })""",
    "before it is sent": """
        local input = { text = "Ada" }
        local running = spawn(run, "replicate/hello-world", input, { cache = "1h" })
        local changing = spawn(function()
          while true do input.text = "Bob" sleep(0) end
        end)
        running:await()
        changing:cancel()""",
    "by what it holds": """
        local deep = { "Ada" }
        pcall(run, "replicate/hello-world", { text = deep }, { cache = "1h", validate = false,
          on_progress = function() deep[1] = "Bob" end })""",
}


@pytest.mark.parametrize("how", CHANGING)
def test_a_script_cannot_store_a_wrong_result_for_another(flow, tmp_path, how):
    """The key is the input that was sent, even if the script changes its table later."""
    flow(CHANGING[how])
    said = flow(f"local output, p = {run_of('Bob')} return output, p.input.text")

    assert ["hello Bob", "Bob"] == said
    assert ["hello Ada", "Ada"] == flow(f"local output, p = {run_of('Ada')} return output, p.input.text")


def test_a_cached_id_is_checked(flow, tmp_path):
    """A cached id of a prediction with another input is not used."""
    flow(run_of("Ada"))
    (kept,) = (tmp_path / "kept" / "predictions").iterdir()
    other = flow('local _, p = run("replicate/hello-world", { text = "Bob" }) return p.id')
    kept.write_text(other)

    assert "hello Ada" == flow(f"return ({run_of('Ada')})")


def test_only_what_the_run_created_is_cached(flow, tmp_path):
    """Neither an id of the script's choice nor a prediction created without a cache is stored."""
    foreign = flow('local _, p = run("replicate/hello-world", { text = "Bob" }) return p.id')
    session = flow.opened()
    services = Services(Files(), "", lambda: session)
    recall = {"made_of": {"version": "v"}, "input": {"text": "Ada"}, "age": "1h"}
    services("host.recall", msgspec.msgpack.encode(recall))
    services("host.keep", msgspec.msgpack.encode({"id": foreign}))
    services("host.keep", msgspec.msgpack.encode({"id": "../../x"}))
    with pytest.raises(ArgumentError):
        services("host.keep", msgspec.msgpack.encode({**recall, "id": foreign}))
    session.close()

    assert not (tmp_path / "kept" / "predictions").exists()


SENT = {"a": 1, "b": [True, "x", {"c": 2.0}], "f": structs.LocalFile("x.png")}
SAME = {"a": 1, "b": [True, "x", {"c": 2}], "f": "https://replicate.delivery/x"}
OTHERS = [
    {**SAME, "a": True}, {**SAME, "a": "1"}, {**SAME, "b": [1, "x", {"c": 2}]}, {**SAME, "b": [True, "x", {}]},
    {**SAME, "f": {"sha256": "x"}}, {**SAME, "f": "x.png"}, {**SAME, "more": 1}, {"a": 1}, None, [], {**SAME, "b": {}},
]  # fmt: skip


def test_an_input_is_compared_as_it_was_sent():
    """Values are compared by type: true does not equal 1, and a file equals its URL."""

    def is_made_of(found, **more):
        prediction = {"status": "succeeded", "output": "x", "input": found, "model": "a/b", "version": "f" * 64, **more}
        return earlier.is_made_of(prediction, {"model_owner": "a", "model_name": "b"}, SENT, "f" * 64)

    assert is_made_of(SAME)
    assert is_made_of(SAME, version="hidden")
    assert [] == [found for found in OTHERS if is_made_of(found)]
    assert not is_made_of(SAME, model="a/c")
    assert not is_made_of(SAME, version="e" * 64)
    assert not is_made_of(SAME, status="failed")


def test_files_and_values_are_distinguished(tmp_path):
    """No plain value of a script is taken for a file."""
    (tmp_path / "large").write_bytes(b"x" * 300_000)
    uploads = Uploads(Files([str(tmp_path)]), lambda given, account: {"urls": {"get": "https://x/1"}})
    given = {"f": structs.LocalFile(str(tmp_path / "large"))}
    described = uploads.described(given)
    sent = {"f": "https://x/1"}

    assert described != uploads.described(sent)
    uploads.replaced(
        structs.decode_arguments(catalogue.find("create_prediction"), {"version": "v", "input": given}), ""
    )
    assert described == uploads.described(sent)
    for value in (None, described[0]["f"], described[1], {"sha256": described[1][0][1]}, "https://x/2"):
        assert described != uploads.described({"f": value})
