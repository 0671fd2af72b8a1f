"""run with a cache: an earlier answer is taken where it is still there, and nothing is paid for it again."""

import pytest

from kosmolua.errors import ScriptError

HELLO = 'run("replicate/hello-world", { text = "Ada" }, { cache = "1h" })'


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("KOSMO_CACHE_DIR", str(tmp_path / "kept"))


def creates(flow):
    return sum(method == "POST" for method, _, _ in flow.server.requests)


def test_the_same_again_is_not_paid_again(flow):
    """In the same script and in a later one the prediction that was made before answers, and the log says so."""
    first, second = flow(f"local _, a = {HELLO} local _, b = {HELLO} return a.id, b.id")
    output, later = flow(f"local output, c = {HELLO} return output, c.id")

    assert (first, first, "hello Ada") == (second, later, output)
    assert 1 == creates(flow)
    assert ["its answer is taken"] == [entry.note for entry in flow.log if entry.function == "get_prediction"]


def test_another_input_is_another_prediction(flow):
    """Equal is equal: another input, or no cache, runs the model."""
    flow(f'{HELLO} run("replicate/hello-world", {{ text = "Bob" }}, {{ cache = "1h" }})')
    flow('run("replicate/hello-world", { text = "Ada" })')

    assert 3 == creates(flow)


def test_what_others_made_is_found_at_the_api(flow, tmp_path):
    """What this machine does not remember is looked for among the account's predictions."""
    made = flow('local _, p = run("replicate/hello-world", { text = "Ada" }) return p.id')
    found = flow(f"local _, p = {HELLO} return p.id")

    assert made == found
    assert 1 == creates(flow)
    assert not (tmp_path / "kept" / "predictions").exists()


def test_an_answer_that_is_gone_does_not_count(flow):
    """The API removes data after an hour: then the model runs again."""
    flow.serve(speed=3000)
    flow(HELLO)
    flow("sleep(1.5)")
    flow(HELLO)

    assert 2 == creates(flow)


def test_a_failure_is_no_answer(flow):
    """A prediction that failed is run again."""
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
def test_an_age_that_is_none(flow, age):
    """What it takes is told, and nothing is run."""
    with pytest.raises(ScriptError, match="expected an age such as"):
        flow(f'run("replicate/hello-world", {{ text = "Ada" }}, {{ cache = {age} }})')

    assert 0 == creates(flow)
