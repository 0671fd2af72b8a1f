"""Scripts repeat recorded conversations of the official Python client: they send the same requests and get the same
outputs.
"""

import httpx
import pytest
from recorded import CONVERSATIONS

from kosmolua.errors import ScriptError
from kosmolua.replicate.catalogue import SERVER
from kosmolua.replicate.transfer import place

SDXL = "stability-ai/sdxl:a00d0b7dcbb9c3fbb34ba87d2d5b46c56969c84a628bf778a7fdaec30b1b99c5"
NEWER_SDXL = "stability-ai/sdxl:39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b"
CORGI = '{ prompt = "a studio photo of a rainbow colored corgi", width = 512, height = 512, seed = 42069 }'
SOON = "{ interval = 0.01, max_interval = 0.01 }"


def answers(name):
    return [exchange["answer"] for exchange in CONVERSATIONS[name]["exchanges"]]


def test_a_run(replay):
    """The output of a run is the recorded list of files, each with its URL."""
    flow = replay("run")
    urls, status, percent = flow(f"""
      local percent = {{}}
      local output, prediction = run("{SDXL}", {CORGI}, {{
        interval = 0.01, max_interval = 0.01,
        on_progress = function(_, progress) if progress then percent[#percent + 1] = progress.percent end end,
      }})
      local urls = {{}}
      for i, file in ipairs(output) do urls[i] = file.url end
      return urls, prediction.status, percent
    """)

    assert (answers("run")[-1]["output"], "succeeded", [98, 100]) == (urls, status, percent)
    assert 1 == flow.server.count("POST", "/predictions")


def test_an_input_that_the_schema_refuses(replay):
    """The recorded schema refuses a wrong input before anything is created."""
    flow = replay("run")
    with pytest.raises(ScriptError, match="num_outputs"):
        flow(f'run("{SDXL}", {{ num_outputs = 5 }})')

    assert 0 == flow.server.count("POST", "/predictions")


def test_concurrent_runs(replay):
    """Each concurrent run gets the output of its own prompt, even though the model's schema is not available."""
    flow = replay("concurrent")
    outputs = flow(f"""
      return parallel({{ "two", "four", "eight" }}, function(count)
        local prompt = "A chariot pulled by a team of " .. count .. " rainbow unicorns"
        return (run("{NEWER_SDXL}", {{ prompt = prompt }}, {SOON}))
      end)
    """)

    expected = [answer["output"] for answer in answers("concurrent") if answer["status"] == "succeeded"]
    assert expected == outputs
    assert 3 == flow.server.count("POST", "/predictions")


HAIKU = '"meta/meta-llama-3-8b-instruct", { prompt = "Please write a haiku about llamas" }'


@pytest.fixture
def haiku(replay):
    """A recording that ends with a create, answered while the model was still writing. The API's next answers are
    added: the prediction has succeeded, and its stream has the recorded pieces.
    """
    flow = replay("haiku")
    (created,) = answers("haiku")
    ended = {"method": "GET", "path": f"/v1/predictions/{created['id']}", "status": 200}
    flow.replay.add({**ended, "answer": {**created, "status": "succeeded"}})
    return flow


@pytest.fixture
def text():
    (created,) = answers("haiku")
    return "".join(created["output"])


def test_a_run_that_was_answered_while_processing(haiku, text):
    """The client waits for a create with the status "processing", and gets the recorded pieces."""
    output = haiku(f"return (run({HAIKU}, {SOON}))")

    assert text == "".join(output)
    assert 1 == haiku.server.count("POST", "/predictions")


def test_a_stream(haiku, text):
    """The recorded stream gives the recorded text."""
    (created,) = answers("haiku")
    events = [
        f"event: output\nid: {number}\n" + "".join(f"data: {line}\n" for line in piece.split("\n"))
        for number, piece in enumerate(created["output"])
    ]
    haiku.replay.stream(created["urls"]["stream"], "\n".join([*events, "event: done\nid: end\ndata: {}\n", ""]))

    assert text == haiku(f"return stream({HAIKU}):text()")
    assert 1 == haiku.server.count("GET", "/streaming/v1/streams/b4yonjrmynb65tnkucuqc4duawdekslfzexk5itczufef2u36b7a")


def test_an_expired_stream(haiku, text):
    """After the stream has expired, the text is read from the prediction."""
    assert text == haiku(f"return stream({HAIKU}):text()")


@pytest.mark.parametrize("host", ["streaming-api.svc.us.c.replicate.net", "stream-b.svc.ric1.c.replicate.net"])
def test_the_hosts_of_streams(host):
    """Streams are read from their own hosts, without the token."""
    url = f"https://{host}/v1/streams/b4yonjrmynb65tnkucuqc4duawdekslfzexk5itczufef2u36b7a"

    assert (httpx.URL(url), False) == place(url, httpx.URL(SERVER), function="stream")


def test_an_invalid_token(replay):
    """The error for an invalid token has the API's message."""
    version = "73001d654114dad81ec65da3b834e2f691af1e1526453189b7bf36fb3f32d0f9"
    with pytest.raises(ScriptError, match="You did not pass a valid authentication token") as caught:
        replay("invalid token")(f'run("meta/llama-2-7b:{version}", {{}})')

    assert 401 == caught.value.status


def test_a_cancel(replay):
    """A canceled prediction has ended and is not polled."""
    flow = replay("cancel")
    status = flow(f"""
      local prediction = replicate.create("{NEWER_SDXL}", {CORGI})
      return {{ replicate.cancel_all()[1].status, prediction.status }}
    """)

    assert ["canceled", "starting"] == status
    assert 0 == flow.server.count("GET", "hdwst0bb05rgp0cf0p29mzk2am")


TRAINING = """
  local name = "a00d0b7dcbb9c3fbb34ba87d2d5b46c56969c84a628bf778a7fdaec30b1b99c5"
  local training = integrations.replicate.create_training {
    model_owner = "stability-ai", model_name = "sdxl", version_id = name, destination = "replicate/dreambooth-sdxl",
    input = {
      input_images = "https://replicate.delivery/pbxt/JMV5OrEWpBAC5gO8rre0tPOyJIOkaXvG0TWfVJ9b4zhLeEUY/data.zip",
      use_face_detection_instead = true,
    },
  }
"""


def test_a_training_is_canceled(replay):
    """A training whose recorded links call it a prediction is canceled as a training."""
    flow = replay("training")

    assert "canceled" == flow(TRAINING + "return replicate.cancel_all { training }[1].status")
    assert 1 == flow.server.count("POST", "/trainings/xxi2kydbnla3ocjp64sclkewku/cancel")


def test_a_training_is_waited_for(replay):
    """A wait by id finds the training among the trainings, and later reads only there."""
    flow = replay("training")
    created, canceled = answers("training")
    where = {"method": "GET", "path": f"/v1/trainings/{created['id']}", "status": 200}
    for answer in (created, created, canceled):  # the recorded client did not wait
        flow.replay.add({**where, "answer": answer})

    assert "canceled" == flow(TRAINING + f"return wait(training, {SOON}).status")
    assert (1, 3) == (
        flow.server.count("GET", f"/predictions/{created['id']}"),
        flow.server.count("GET", where["path"]),
    )


@pytest.mark.parametrize("options", ["", ', { kind = "training" }'])
def test_an_ended_training(replay, options):
    """The id of an ended training is enough, with or without the kind."""
    training = replay("ended training")(f'return wait("67wuwytbabl5hxbvdfcsovdn3m"{options})')

    assert ("canceled", 60.971946) == (training["status"], training["metrics"]["predict_time"])


def test_an_id_of_no_prediction_or_training(replay):
    """An id that is neither a prediction nor a training gives the error for predictions."""
    with pytest.raises(ScriptError, match=r"get_prediction.*not recorded") as caught:
        replay()('wait("67wuwytbabl5hxbvdfcsovdn3m")')

    assert 404 == caught.value.status


def test_a_training_with_an_unknown_destination(replay):
    """The error for an unknown destination has the API's message."""
    script = TRAINING.replace("replicate/dreambooth-sdxl", "replicate/nowhere")
    script = script.replace("      use_face_detection_instead = true,\n", "")
    with pytest.raises(ScriptError, match="The specified training destination does not exist") as caught:
        replay("no destination")(script)

    assert 404 == caught.value.status


def test_the_collections(replay):
    """A list with one page ends after its last item."""
    slugs = replay("collections")("""
      local slugs = {}
      for collection in replicate.each("list_collections") do slugs[#slugs + 1] = collection.slug end
      return slugs
    """)

    assert [collection["slug"] for collection in answers("collections")[0]["results"]] == slugs
    assert "text-to-image" == slugs[-1]


def test_the_hardware(replay):
    """A list without pages is returned unchanged."""
    assert answers("hardware")[0] == replay("hardware")("return integrations.replicate.list_hardware()")
