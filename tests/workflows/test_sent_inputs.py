"""Inputs are converted by the model's schema before sending, with notes, or are refused."""

import json

import pytest

from kosmolua.errors import ScriptError

OWN, PLAIN = "a/model", "a/plain"


class Models:
    """An API with two models that answers each create with a successful prediction."""

    def __init__(self, properties, output=None, result="done", **more):
        schemas = {
            "Input": {"type": "object", "properties": properties, **more},
            "Output": output or {"type": "string"},
        }
        self.version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": schemas}}}
        self.result = result
        self.sent = []
        self.prediction = {}
        self.facts = {}

    def __call__(self, environ, start_response):
        size = int(environ.get("CONTENT_LENGTH") or 0)
        answer = self._answer(environ["PATH_INFO"], environ["wsgi.input"].read(size))
        start_response("200 OK" if answer else "404 Not Found", [("Content-Type", "application/json")])
        return [json.dumps(answer or {"detail": "no"}).encode()]

    def close(self):
        pass

    def _answer(self, path, body):
        if body:
            self.sent.append(body)
            self.prediction = {
                "id": f"p{len(self.sent)}", "status": "succeeded", "output": self.result, "urls": {},
                "input": json.loads(body)["input"], "model": OWN, **self.facts,
            }  # fmt: skip
            return self.prediction
        if path.endswith("/models/a/model"):
            return {"owner": "a", "name": "model", "is_official": True, "latest_version": self.version}
        return self.prediction if "/predictions/" in path else None

    @property
    def inputs(self):
        return [json.loads(body)["input"] for body in self.sent]


PROPERTIES = {
    "prompt": {"type": "string"},
    "seed": {"type": "integer"},
    "scale": {"type": "number"},
    "sizes": {"type": "array", "items": {"type": "integer"}},
    "mask": {"anyOf": [{"type": "string", "format": "uri"}, {"type": "null"}]},
    "fast": {"type": "string", "enum": ["True", "False"]},
    "camera": {"type": "object", "properties": {"x": {"type": "integer"}}},
}


@pytest.fixture
def models(flow):
    made = Models(PROPERTIES)
    flow.visit(made)
    return made


@pytest.mark.parametrize(
    ("given", "sent", "note"),
    [
        ('{ seed = "512" }', b'"seed":512', "seed to number"),
        ('{ seed = "9007199254740993" }', b'"seed":9007199254740993', "seed to number"),
        ("{ seed = 9007199254740993LL }", b'"seed":9007199254740993', None),
        ("{ seed = 18446744073709551615ULL }", b'"seed":18446744073709551615', None),
        ("{ seed = -9007199254740993LL }", b'"seed":-9007199254740993', None),
        ("{ seed = 9007199254740994.0 }", b'"seed":9007199254740994', "seed to number"),
        ("{ seed = 3.0 }", b'"seed":3', None),
        ('{ scale = "0.1" }', b'"scale":0.1', "scale to number"),
        ('{ sizes = { "1", 2, "9007199254740993" } }', b'"sizes":[1,2,9007199254740993]', "sizes to number"),
        ("{ sizes = {} }", b'"sizes":[]', "sizes to list"),
        ('{ mask = json.null, prompt = "x" }', b'"input":{"prompt":"x"}', "mask left out"),
        ("{ fast = true }", b'"fast":"True"', "fast to string"),
        ('{ camera = { x = "7", y = "7" } }', b'"x":7', "camera to number"),
        ('{ prompt = "512" }', b'"prompt":"512"', None),
    ],
)
@pytest.mark.parametrize("helper", ["run", "replicate.create"])
def test_an_input_is_converted(flow, models, helper, given, sent, note):
    """The value sent has the schema's type, and the log has a note with the names."""
    flow(f'{helper}("{OWN}", {given})')
    notes = [entry.note for entry in flow.log if entry.access == "write"]

    assert sent in models.sent[0].replace(b" ", b"")
    assert sent + b"." not in models.sent[0].replace(b" ", b"")
    assert [f"converted input: {note}" if note else ""] == notes


def test_validate_false_sends_inputs_unchanged(flow, models):
    """Nothing is converted or checked."""
    flow(f'run("{OWN}", {{ seed = "512", other = {{}} }}, {{ validate = false }})')

    assert [{"seed": "512", "other": {}}] == models.inputs
    assert "" == flow.log[-1].note


def test_the_scripts_table_is_unchanged(flow, models):
    """The conversions are made in a copy without the script's metatables."""
    seed, size, count = flow(f"""
      local sizes = setmetatable({{ "1", "2" }}, {{ __index = function() error("read") end }})
      local input = {{ seed = "1", sizes = sizes }}
      run("{OWN}", input)
      run("{OWN}", input)
      return input.seed, sizes[1], #sizes
    """)

    assert ("1", "1", 2) == (seed, size, count)
    assert [{"seed": 1, "sizes": [1, 2]}] * 2 == models.inputs


def test_a_seed_can_be_sent_again(flow, models):
    """A prediction's input with a large integer as digits can be used for another run."""
    flow(f"""
      local first = replicate.create("{OWN}", {{ seed = 9007199254740993LL }})
      run("{OWN}", replicate.get_prediction({{ prediction_id = first.id }}).input)
    """)

    assert [{"seed": 9007199254740993}] * 2 == models.inputs


def test_a_file_as_plain_text(flow, models):
    """Plain text in place of a file is refused before anything is paid for, with the correct form."""
    with pytest.raises(ScriptError, match=r'got "cat.png"; did you mean file\("cat.png"\)\?'):
        flow(f'run("{OWN}", {{ mask = "cat.png" }})')

    assert [] == models.sent


def test_functions_of_the_api_send_inputs_unchanged(flow, models):
    """Only the helpers use the schema."""
    flow('replicate.create_model_prediction{ model_owner = "a", model_name = "model", input = { seed = "512" } }')

    assert [{"seed": "512"}] == models.inputs


@pytest.mark.parametrize("validate", ["true", "false"])
@pytest.mark.parametrize(
    ("output", "result", "expected"),
    [
        ({"type": "array", "items": {"type": "string"}, "x-cog-array-display": "concatenate"}, ["a", "b"], "ab"),
        ({"type": "string", "format": "uri"}, "https://x/1.png", {"url": "https://x/1.png"}),
        ({"type": "string", "format": "uri"}, "data:,x", {"url": "data:,x"}),
        ({"type": "string", "format": "uri"}, "No file was made.", "No file was made."),
        ({"type": "array", "items": {"type": "string", "format": "uri"}}, ["none"], ["none"]),
        ({"type": "array", "items": {"type": "string", "format": "uri"}}, "none", "none"),
        ({"type": "string", "format": "uri"}, {"a": 1}, {"a": 1}),
        ({"type": "array", "items": {"type": "string"}, "x-cog-array-display": "concatenate"}, ["a", 1], ["a", 1]),
    ],
)
def test_outputs_do_not_depend_on_the_check(flow, output, result, expected, validate):
    """The result depends on schema and output; an output that does not match is returned unchanged."""
    flow.visit(Models(PROPERTIES, output, result))
    found = flow(f"""
      local out = run("{OWN}", {{ prompt = "x" }}, {{ validate = {validate} }})
      return type(out) == "table" and out.url and {{ url = out.url }} or out
    """)

    assert expected == found


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (f'run("{OWN}", {{ prompt = print }})', "run"),
        (f'run("{OWN}", {{ "x" }})', "run"),
        (f'stream("{OWN}", {{ camera = {{ x = print }} }})', "stream"),
        (f'run("a/{"x" * 700}", {{}})', "run"),
        (f'replicate.create("{OWN}", {{ prompt = "\\255" }})', "create"),
    ],
)
def test_errors_name_the_helper(flow, models, call, name):
    """An error names the helper that was called, not the internal service."""
    with pytest.raises(ScriptError) as caught:
        flow(call)

    assert f"{name}: " in caught.value.message
    assert "plan" not in caught.value.message


TEXTS = {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize("options", ["{}", "{ validate = false }"])
@pytest.mark.parametrize(
    ("output", "result", "expected"),
    [
        ({"type": "array", "items": {"type": "string", "format": "uri"}}, ["https://a/1", "https://a/2"], "\n"),
        (TEXTS, ["cat", "dog"], "\n"),
        ({**TEXTS, "x-cog-array-display": "concatenate"}, ["cat", "dog"], ""),
        ({}, "catdog", ""),
        (TEXTS, [], ""),
        ({}, [{"a": 1}, 2], "\n"),
        ({}, {"a": 1}, ""),
        ({}, None, ""),
    ],
)
def test_a_stream_of_a_model_that_does_not_stream(flow, output, result, expected, options):
    """Each list item, or the whole output, is one event; only output that is text by its schema is joined."""
    flow.visit(Models(PROPERTIES, output, result))
    found = flow(f"""
      local parts = {{}}
      for event in stream("{OWN}", {{ prompt = "x" }}, {options}) do
        if event.event == "output" then parts[#parts + 1] = event.data end
      end
      return json.array(parts)
    """)
    items = result if isinstance(result, list) else [] if result is None else [result]
    texts = [one if isinstance(one, str) else json.dumps(one, separators=(",", ":")) for one in items]

    assert (texts if expected or not texts else ["".join(texts)]) == found


@pytest.mark.parametrize("seconds", [-0.5, 1e300, None])
def test_an_empty_error_and_invalid_times(flow, seconds):
    """An empty error means none; negative seconds, and times out of order, are neither shown nor counted."""
    models = Models(PROPERTIES, None, "x")
    flow.visit(models)
    models.facts = {
        "error": "", "metrics": {"predict_time": seconds, "total_time": -1.0},
        "started_at": "2026-01-01T00:00:02Z", "completed_at": "2026-01-01T00:00:01Z",
    }  # fmt: skip
    output, error = flow(f'local out, p = run("{OWN}", {{ prompt = "x" }}) return out, p.error')

    assert ("x", "") == (output, error)
    assert 0 <= flow.session.budget.spent()["seconds_of_compute"] < 60


def test_a_failure_without_a_reason(flow):
    """Without a reason the message ends after the status."""
    models = Models(PROPERTIES)
    flow.visit(models)
    models.facts = {"status": "failed", "error": "", "output": None}
    with pytest.raises(ScriptError, match=r"p1 ended as failed(?!:)"):
        flow(f'run("{OWN}", {{ prompt = "x" }})')


def test_removed_data(flow):
    """A prediction whose data was removed has its status, but its output is nil."""
    flow.visit(Models(PROPERTIES))
    removed = '{ id = "p", status = "succeeded", data_removed = true, input = {}, urls = { get = "/predictions/p" } }'
    found = flow(f"""
      local texts = {{}}
      for event in stream({removed}) do texts[#texts + 1] = event.event end
      return texts, wait({removed}).status
    """)

    assert (["done"], "succeeded") == tuple(found)
