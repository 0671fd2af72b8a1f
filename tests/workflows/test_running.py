"""`run` and `create` use the right operation, and return results and errors."""

import pytest

from kosmolua.errors import ScriptError

HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"


@pytest.mark.parametrize(
    ("reference", "given", "path"),
    [
        ("meta/meta-llama-3-8b-instruct", '{ prompt = "x", max_tokens = 2 }', "/meta-llama-3-8b-instruct/predictions"),
        ("replicate/hello-world", '{ text = "Ada" }', "/v1/predictions"),
        (f"replicate/hello-world:{HELLO}", '{ text = "Ada" }', "/v1/predictions"),
        (HELLO, '{ text = "Ada" }', "/v1/predictions"),
        (
            "deployments/emulator/my-app-image-generator",
            '{ prompt = "x" }',
            "/v1/deployments/emulator/my-app-image-generator/predictions",
        ),
    ],
)
def test_each_reference_finds_its_operation(flow, reference, given, path):
    """Official models, versions, bare ids and deployments are each created with the right operation, once."""
    status = flow(f'local _, prediction = run("{reference}", {given}) return prediction.status')

    assert "succeeded" == status
    assert 1 == sum(method == "POST" for method, _, _ in flow.server.requests)
    assert 1 == flow.server.count("POST", path)


def test_tokens_are_joined_as_text(flow):
    """A list of tokens is one text, even if the text begins like a URL."""
    text = flow("""
      return (run("meta/meta-llama-3-8b-instruct", { prompt = "the sea", max_tokens = 5, seed = 1 }))
    """)
    hello = flow('return (run("replicate/hello-world", { text = "https://example.com" }))')

    assert isinstance(text, str)
    assert 5 == len(text.split())
    assert "hello https://example.com" == hello


def test_files_are_values(flow):
    """A file is a value with its URL, becomes the URL in text and JSON, and can be saved."""
    url, text, encoded, size, saved = flow("""
      local images = run("black-forest-labs/flux-schnell", { prompt = "dusk", seed = 1, width = 32, height = 32 })
      local got = images[1]:save("dusk.png")
      return images[1], images[1] .. "", json.encode(images), got.size, got.path
    """)

    assert url.endswith("/out-0.png")
    assert url == text
    assert f'["{url}"]' == encoded
    content = (flow.directory / saved).read_bytes()
    assert size == len(content)
    assert content.startswith(b"\x89PNG")


def test_an_output_can_be_an_input(flow):
    """A file from one model can be an input of the next model."""
    flow("""
      local images = run("black-forest-labs/flux-schnell", { prompt = "dusk", width = 32, height = 32 })
      local large = run("nightmareai/real-esrgan", { image = images[1], scale = 2 })
      download(large, "large.png")
    """)

    assert (flow.directory / "large.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_that_fails(flow):
    """The error has the model's message, the end of its logs, the id and the link, and the prediction."""
    result = flow("""
      local ok, e = pcall(run, "kosmolua/always-fails", { message = "out of paint" })
      return { ok = ok, code = e.code, message = tostring(e), detail = e.detail, hint = e.hint, id = e.prediction.id }
    """)

    assert not result["ok"]
    assert "prediction_failed" == result["code"]
    assert f"{result['id']} (http" in result["message"]
    assert "ended as failed: out of paint" in result["message"]
    assert "100%" in result["detail"]
    assert result["id"] in result["hint"]


@pytest.mark.parametrize(("fault", "status"), [("aborted", "aborted"), ("processing:times=*", "succeeded")])
def test_aborted_and_processing_predictions(flow, fault, status):
    """Aborted is a final status; a blocking answer with `processing` is not, and gives no empty output."""
    flow.serve(fault)
    found = flow("""
      local ok, output, prediction = pcall(run, "replicate/hello-world", { text = "Ada" })
      if not ok then return { output.prediction.status, "none" } end
      return { prediction.status, output }
    """)

    assert [status, "hello Ada" if status == "succeeded" else "none"] == found


def test_an_invalid_input_costs_nothing(flow):
    """All problems found with the model's schema are reported, and no prediction is created."""
    with pytest.raises(ScriptError, match="did you mean `text`") as caught:
        flow('run("replicate/hello-world", { texr = "Ada" })')

    assert "invalid_arguments" == caught.value.code
    assert "kosmo model replicate/hello-world" in caught.value.hint
    assert 0 == flow.server.count("POST", "predictions")


def test_validation_can_be_switched_off(flow):
    """With `validate = false` no schema is looked up, and the API decides."""
    result = flow(f"""
      local ok, e = pcall(run, "replicate/hello-world:{HELLO}", {{ texr = "Ada" }}, {{ validate = false }})
      return {{ ok, e.code, e.status }}
    """)

    assert [False, "invalid_input", 422] == result
    assert ["POST"] == [method for method, _, _ in flow.server.requests]


def test_a_schema_that_cannot_be_read_does_not_block(flow):
    """If the lookup fails the model still runs."""
    flow.serve("500:get_model:times=*")
    output = flow("""
      return (run("meta/meta-llama-3-8b-instruct", { prompt = "the sea", max_tokens = 3, seed = 1 }))
    """)

    assert ["Here", " is", " the"] == output  # without a schema, the form of the output is also unknown
    assert 1 == flow.server.count("POST", "/predictions")


def test_a_model_that_turns_out_not_to_be_official(flow):
    """If the API refuses the model as official, its latest version is used once, and the log says so."""
    output = flow('return (run("replicate/hello-world", { text = "Ada" }, { validate = false }))')

    assert "hello Ada" == output
    posts = [(path, status) for method, path, status in flow.server.requests if method == "POST"]
    assert [("/v1/models/replicate/hello-world/predictions", 404), ("/v1/predictions", 201)] == posts
    notes = [entry.note for entry in flow.log if entry.function == "get_model"]
    assert ["replicate/hello-world is not an official model; its latest version is run"] == notes


def test_a_model_name_is_looked_up_once(flow):
    """Ten runs of a model look up its name once."""
    flow("""
      parallel({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function(i)
        return run("replicate/hello-world", { text = tostring(i) })
      end)
    """)

    assert 1 == flow.server.count("GET", "/models/replicate/hello-world")
    assert 10 == flow.server.count("POST", "/predictions")


def test_a_run_that_takes_too_long(flow):
    """The timeout error names the prediction, which is canceled only on request."""
    result = flow("""
      local function try(options)
        local ok, e = pcall(run, "minimax/video-01", { prompt = "the sea" }, options)
        return { ok, e.code, e.hint, replicate.get_prediction { prediction_id = e.prediction.id }.status }
      end
      return { try { timeout = 0.2, wait = false }, try { timeout = 0.2, wait = false, cancel_on_timeout = true } }
    """)

    assert [False, "timed_out"] == result[0][:2]
    assert "it keeps running and costs money" in result[0][2]
    assert result[0][3] in {"starting", "processing"}
    assert "it was canceled" in result[1][2]
    assert "canceled" == result[1][3]


def test_progress_is_reported(flow):
    """`on_progress` gets each change with the progress bar in the logs."""
    seen = flow("""
      local seen = {}
      run("black-forest-labs/flux-schnell", { prompt = "dusk", num_outputs = 4, width = 16, height = 16 }, {
        wait = false, interval = 0.01, max_interval = 0.01,
        on_progress = function(prediction, progress)
          seen[#seen + 1] = { prediction.status, progress and progress.percent or 0 }
        end,
      })
      return seen
    """)

    assert ["starting", 0] == seen[0]
    assert ["succeeded", 100] == seen[-1]
    assert [percent for _, percent in seen] == sorted(percent for _, percent in seen)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ('run("replicate/hello-world", {}, { timout = 3 })', "run: unknown option `timout`; did you mean `timeout`?"),
        (
            'run("replicate/hello-world", {}, { banana = 3 })',
            "run: unknown option `banana`; there are cache, cancel_after",
        ),
        ('run("replicate/hello-world", {}, { timeout = "3" })', "expected seconds as `timeout`, got a string"),
        ("run()", "expected a model such as owner/name, got nothing"),
        ('run("replicate/hello-world", {}, { wait = 90 })', "expected 1 to 60 seconds"),
        ('run("replicate/hello-world", {}, { timeout = -1 })', "expected seconds as `timeout`, got -1"),
        ("run({}, {})", "expected a model such as owner/name, got a table"),
        ('run("hello", {})', "expected owner/name or owner/name:version"),
        ('run("replicate/hello-world", 7)', "expected a table as input, got a number"),
        ("replicate.cancel_all({ id = 'x' })", "got one; write cancel_all { prediction }"),
        ("replicate.cancel_all({ 7 })", "cancel_all: expected a list of predictions or ids, got a list with a number"),
        ("wait(7)", "expected a prediction, a training or an id, got a number"),
        ('each("get_account")()', "get_account has no pages"),
        ('each("list_modls")', "did you mean list_models"),
        ('download({ "a", "b" }, "out")', 'expected a path that ends in "/"'),
        ('download("https://replicate.delivery/x")', "expected a path to save to"),
    ],
)
def test_errors_are_reported_before_sending(flow, call, message):
    """The error says what was expected and found."""
    with pytest.raises(ScriptError) as caught:
        flow(f"local x = {call} return x")

    assert message in caught.value.message
    assert 0 == flow.server.count("POST", "predictions")


def test_a_create_without_an_answer_is_found(flow):
    """After a lost connection, the created prediction is looked up in the account instead of being requested again."""
    flow.serve("drop:create_prediction")
    output = flow('return (run("replicate/hello-world", { text = "Ada" }))')

    assert "hello Ada" == output
    assert 1 == flow.server.count("GET", "/v1/predictions")
    creates = [path for method, path, _ in flow.server.requests if method == "POST"]
    assert ["/v1/predictions"] == creates


def test_a_create_that_was_lost_is_not_resent(flow):
    """If the API never received the create, the error says so, and nothing is created."""
    flow.serve("drop:create_prediction:after=request")
    with pytest.raises(ScriptError, match="may have been created") as caught:
        flow('run("replicate/hello-world", { text = "Ada" })')

    assert "uncertain" == caught.value.code
    assert 0 == sum(method == "POST" and status == 201 for method, _, status in flow.server.requests)


def test_create_does_not_wait(flow):
    """`create` returns the new prediction; `wait` returns the ended prediction, also by its id."""
    result = flow("""
      local prediction = replicate.create("replicate/hello-world", { text = "Ada" })
      local ended = wait(prediction.id, { interval = 0.02 })
      return { prediction.status, ended.status, ended.output }
    """)

    assert ["starting", "succeeded", "hello Ada"] == result


def test_wait_accepts_trainings(flow):
    """A training is recognized by its links."""
    status = flow("""
      local training = replicate.create_training {
        model_owner = "stability-ai", model_name = "sdxl",
        version_id = "da77bc59ee60423279fd632efb4795ab731d9e3ca9705ef3341091fb989b7eaf",
        destination = "emulator/my-sdxl", input = { input_images = "data:application/zip;base64,UEsFBg==" },
      }
      return wait(training, { interval = 0.05 }).status
    """)

    assert "succeeded" == status
    assert 0 < flow.server.count("GET", "") - flow.server.count("GET", "/predictions")


def test_waits_share_polls(flow):
    """Ten waits for the same prediction share its polls."""
    flow.serve("slow:get_prediction:seconds=5:times=*")
    flow("""
      local prediction = replicate.create("replicate/hello-world", { text = "Ada" })
      parallel({ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 }, function() return wait(prediction).status end, { limit = 10 })
    """)

    assert flow.server.count("GET", "") <= 5


def test_cancel_all(flow):
    """`cancel_all` cancels jobs that the script started and that are not known to have ended, or the jobs in a given
    list.
    """
    result = flow("""
      for i = 1, 3 do replicate.create("minimax/video-01", { prompt = "the sea" }) end
      run("replicate/hello-world", { text = "Ada" })
      local one = replicate.create("minimax/video-01", { prompt = "the sea" })
      local listed = replicate.cancel_all { one.id }
      return { #replicate.cancel_all(), listed[1].status, #replicate.cancel_all() }
    """)

    assert [3, "canceled", 0] == result
    assert 4 == flow.server.count("POST", "/cancel")
