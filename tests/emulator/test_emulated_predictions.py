from __future__ import annotations

import base64
import re
import threading

import pytest

from kosmolua.emulator import Emulator, ManualClock
from kosmolua.terminal.png import read_png

LLAMA = "meta/meta-llama-3-8b-instruct"
FLUX = "black-forest-labs/flux-schnell"
VIDEO = "minimax/video-01"


def version(api, model):
    return api.get(f"/models/{model}").json()["latest_version"]["id"]


def test_a_prediction_moves_with_the_clock(api, world, clock):
    """A prediction starts, runs and succeeds as time passes, and records the time of each step."""
    created = world.hello(api)
    url = created.json()["urls"]["get"]
    clock.advance(0.3)
    running = api.get(url).json()
    clock.advance(10)
    done = api.get(url).json()

    assert (201, "starting", None) == (created.status_code, created.json()["status"], created.json()["started_at"])
    assert ("processing", "2026-01-01T00:00:00.200000Z", None) == (
        running["status"],
        running["started_at"],
        running["output"],
    )
    assert ("succeeded", "hello Ada", None) == (done["status"], done["output"], done["error"])
    assert "2026-01-01T00:00:00.500000Z" == done["completed_at"]
    assert {"predict_time": 0.3, "total_time": 0.5} == done["metrics"]
    assert ("api", False) == (done["source"], done["data_removed"])


@pytest.mark.parametrize(
    ("model", "given", "billed"),
    [
        (FLUX, {"prompt": "x", "num_outputs": 3}, {"image_output_count": 3}),
        (VIDEO, {"prompt": "x"}, {"video_output_count": 1, "video_output_duration_seconds": 1.28}),
        (LLAMA, {"prompt": "two words", "max_tokens": 5}, {"token_input_count": 2, "token_output_count": 5}),
    ],
)
def test_an_official_model_is_billed_by_its_output(api, world, clock, model, given, billed):
    """The metrics of an official model have the billed amounts, as in the API."""
    url = world.run(api, model, given).json()["urls"]["get"]
    clock.advance(100)
    metrics = api.get(url).json()["metrics"]

    assert billed == {name: amount for name, amount in metrics.items() if not name.endswith("_time")}


@pytest.mark.parametrize(
    ("model", "given", "size"),
    [
        (FLUX, {"aspect_ratio": "16:9", "output_format": "webp", "go_fast": True, "megapixels": "1"}, (256, 144)),
        (FLUX, {"aspect_ratio": "9:21", "width": 1024, "num_inference_steps": 4}, (439, 1024)),
        ("stability-ai/sdxl", {"negative_prompt": "fog", "refine": "no_refiner", "scheduler": "DDIM"}, (256, 256)),
    ],
)
def test_well_known_inputs(api, world, clock, model, given, size):
    """The usual inputs of public models are accepted; an aspect ratio shapes the picture within the longer side."""
    body = {"version": version(api, model), "input": {"prompt": "x", **given}}
    url = api.post("/predictions", json=body).json()["urls"]["get"]
    clock.advance(100)
    picture = read_png(api.get(api.get(url).json()["output"][0]).content)

    assert size == (picture.width, picture.height)


def test_progress_is_in_the_logs(api, world, clock):
    """The progress bar in the logs grows while the model runs."""
    job = world.run(api, FLUX, {"prompt": "x", "seed": 3}).json()
    clock.advance(0.61)
    logs = api.get(job["urls"]["get"]).json()["logs"]

    assert "Using seed: 3\n25%|##        | 1/4\n50%|#####     | 2/4\n" == logs


def test_a_failing_model(api, world):
    """A failed prediction has logs, an error and no output."""
    failed = api.post(
        "/predictions",
        json={"version": version(api, "kosmolua/always-fails"), "input": {"message": "no luck"}},
        headers={"Prefer": "wait"},
    ).json()

    assert ("failed", "no luck", None) == (failed["status"], failed["error"], failed["output"])
    assert "100%|##########| 2/2" in failed["logs"]


def test_waiting_for_the_result(api, world):
    """`Prefer: wait` returns the finished prediction with 201; a wait that is too short returns 202."""
    long = world.hello(api, Prefer="wait=5")
    short = world.run(api, VIDEO, {"prompt": "x"}, Prefer="wait=2")

    assert (201, "succeeded") == (long.status_code, long.json()["status"])
    assert (202, "starting") == (short.status_code, short.json()["status"])


@pytest.mark.parametrize("prefer", ["wait=0", "wait=61", "wait=x", "wait="])
def test_invalid_waits_are_refused(prefer, api, world):
    """A wait outside of 1 to 60 seconds is refused."""
    assert 422 == world.hello(api, Prefer=prefer).status_code


def test_other_preferences_are_ignored(api, world):
    """Other values of `Prefer` have no effect."""
    assert 201 == world.hello(api, Prefer="respond-async").status_code


def test_a_held_answer_ends_when_the_prediction_is_canceled(world):
    """The wait of one client ends early when another client cancels the prediction."""
    clock = ManualClock(autojump=False)
    emulator = Emulator(clock=clock, seed="tests")
    answers = []

    def wait():
        with world.connect(emulator) as api:
            answers.append(world.run(api, VIDEO, {"prompt": "x"}, Prefer="wait=60").json())

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert clock.wait_for_sleepers()
    with world.connect(emulator) as other:
        running = other.get("/predictions").json()["results"][0]
        other.post(running["urls"]["cancel"])
    clock.advance(0.1)
    waiting.join(timeout=10)

    assert "canceled" == answers[0]["status"]


def test_canceling(api, world, clock):
    """A running prediction can be canceled at once; a prediction that has ended does not change."""
    job = world.run(api, VIDEO, {"prompt": "x"}).json()
    clock.advance(10)
    canceled = api.post(job["urls"]["cancel"])
    clock.advance(100)
    done = world.hello(api, Prefer="wait").json()

    assert (200, "canceled") == (canceled.status_code, canceled.json()["status"])
    assert {"predict_time": 2.0, "total_time": 10.0} == canceled.json()["metrics"]
    assert "canceled" == api.get(job["urls"]["get"]).json()["status"]
    assert "succeeded" == api.post(done["urls"]["cancel"]).json()["status"]


def test_a_deadline_while_running_cancels(api, world, clock):
    """`Cancel-After` sets a deadline that the prediction shows and that cancels it while it runs."""
    job = api.post(
        f"/models/{VIDEO}/predictions", json={"input": {"prompt": "x"}}, headers={"Cancel-After": "1m5s"}
    ).json()
    clock.advance(66)

    assert "2026-01-01T00:01:05.000000Z" == job["deadline"]
    assert "canceled" == api.get(job["urls"]["get"]).json()["status"]


def test_a_deadline_before_the_start_aborts(api, world, clock):
    """A prediction whose deadline passes before its start is aborted."""
    job = api.post(
        f"/models/{VIDEO}/predictions", json={"input": {"prompt": "x"}}, headers={"Cancel-After": "5"}
    ).json()
    clock.advance(4.9)
    before = api.get(job["urls"]["get"]).json()["status"]
    clock.advance(0.1)
    after = api.get(job["urls"]["get"]).json()

    assert ("starting", "aborted") == (before, after["status"])
    assert (None, {"total_time": 5.0}) == (after["started_at"], after["metrics"])


@pytest.mark.parametrize("text", ["4", "0s", "soon", "", "-5"])
def test_invalid_deadlines_are_refused(text, api, world):
    """A deadline below five seconds and an invalid duration are refused."""
    assert 422 == world.hello(api, Cancel_After=text).status_code


def test_data_is_removed_after_an_hour(api, world, clock):
    """An hour after its end a prediction has no input, output or logs, and its files are deleted."""
    job = world.run(api, FLUX, {"prompt": "x"}, Prefer="wait").json()
    before = api.get(job["output"][0]).status_code
    clock.advance(3601)
    after = api.get(job["urls"]["get"]).json()

    assert 200 == before
    assert (True, {}, None, "") == (after["data_removed"], after["input"], after["output"], after["logs"])
    assert 404 == api.get(job["output"][0]).status_code


@pytest.mark.parametrize(
    "reference", ["replicate/hello-world", "nobody/nothing", "0" * 64, "other/model:{hello}", "latest", "{hello}:x"]
)
def test_versions_that_cannot_be_run(reference, api, world):
    """A community model by name, an unknown version, and a version of another model each give the API's 422."""
    body = {"version": reference.format(hello=world.hello_version), "input": {"text": "x"}}
    answer = api.post("/predictions", json=body)

    assert (422, "Invalid version or not permitted") == (answer.status_code, answer.json()["title"])


def test_the_three_ways_to_name_a_version(api, world):
    """A version can be named by id, by owner/name:id, or as an official model by owner/name."""
    hello = {"input": {"text": "x"}}
    bare = api.post("/predictions", json={"version": world.hello_version, **hello})
    full = api.post("/predictions", json={"version": f"replicate/hello-world:{world.hello_version}", **hello})
    official = api.post("/predictions", json={"version": FLUX, "input": {"prompt": "x"}})

    assert [201] * 3 == [one.status_code for one in (bare, full, official)]
    assert world.hello_version == bare.json()["version"] == full.json()["version"]
    assert "hidden" == official.json()["version"]


def test_community_models_do_not_run_by_name(api, world):
    """The model endpoint runs official models only: other models give 404."""
    assert 404 == world.run(api, "replicate/hello-world", {"text": "x"}).status_code


@pytest.mark.parametrize(
    ("given", "field", "text"),
    [
        ({}, "input", "prompt is required"),
        ({"prompt": 5}, "input.prompt", "Invalid type. Expected: string, given: integer"),
        ({"prompt": "x", "num_outputs": 5}, "input.num_outputs", "Must be less than or equal to 4"),
        ({"prompt": "x", "width": 8}, "input.width", "Must be greater than or equal to 16"),
        ({"prompt": "x", "width": True}, "input.width", "Invalid type. Expected: integer, given: boolean"),
        (
            {"prompt": "x", "output_format": "gif"},
            "input.output_format",
            'Must be one of the following: "webp", "jpg", "png"',
        ),
        ({"prompt": None}, "input.prompt", "Invalid type. Expected: string, given: null"),
    ],
)
def test_inputs_are_checked_against_the_schema(given, field, text, api, world):
    """Inputs are checked against the model's schema, and the error names the field."""
    answer = world.run(api, FLUX, given)

    assert 422 == answer.status_code
    assert [(field, text)] == [(one["field"], one["description"]) for one in answer.json()["invalid_fields"]]
    assert f"- {field}: {text}\n" == answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [{"webhook": "http://x"}, {"webhook_events_filter": ["start", "never"]}, {"webhook_events_filter": "start"}]
)
def test_webhooks_are_validated(body, api, world):
    """A webhook needs an HTTPS URL and known events."""
    answer = api.post("/predictions", json={"version": world.hello_version, "input": {"text": "x"}, **body})

    assert 422 == answer.status_code


def test_a_chain_of_models(api, world):
    """One model makes a picture from text, and another enlarges that picture from the emulator's own URL."""
    words = "".join(world.run(api, LLAMA, {"prompt": "a red fox", "seed": 1}, Prefer="wait").json()["output"])
    picture = world.run(api, FLUX, {"prompt": words, "width": 64, "height": 32}, Prefer="wait").json()["output"][0]
    body = {"version": version(api, "nightmareai/real-esrgan"), "input": {"image": picture, "scale": 2}}
    larger = api.post("/predictions", json=body, headers={"Prefer": "wait"}).json()
    png = api.get(larger["output"])

    assert "red fox" in words
    assert "image/png" == png.headers["content-type"]
    assert (128, 64) == (int.from_bytes(png.content[16:20]), int.from_bytes(png.content[20:24]))
    assert len(png.content) == int(png.headers["content-length"])


@pytest.mark.parametrize(
    ("image", "error"),
    [
        ("https://example.com/x.png", "reads only its own outputs"),
        ("http://emulator.localhost/delivery/nothing/out.png", "the file does not exist"),
        ("data:image/png;base64," + base64.b64encode(b"GIF89a").decode(), "not a PNG file"),
        ("data:image/png;base64,%%%", "invalid base64"),
        ("file:///etc/passwd", "reads only its own outputs"),
        ("http://[bad", "reads only its own outputs"),
        ("http://emulator.localhost.example.com/delivery/a/out.png", "reads only its own outputs"),
    ],
)
def test_images_that_cannot_be_read(image, error, api):
    """The upscaler reads files of its emulator and data URLs; any other URL fails the prediction with the reason."""
    body = {"version": version(api, "nightmareai/real-esrgan"), "input": {"image": image}}
    failed = api.post("/predictions", json=body, headers={"Prefer": "wait"}).json()

    assert "failed" == failed["status"]
    assert error in failed["error"]


def test_outputs_depend_on_prompt_and_seed(api, world):
    """Equal prompts and seeds give equal pictures; different prompts give different pictures."""

    def painted(prompt, seed):
        given = {"prompt": prompt, "seed": seed, "width": 32, "height": 32}
        return api.get(world.run(api, FLUX, given, Prefer="wait").json()["output"][0]).content

    assert painted("a", 1) == painted("a", 1)
    assert 3 == len({painted("a", 1), painted("b", 1), painted("a", 2)})


def test_whole_numbers_with_a_point_are_integers(api, world):
    """Lua and JavaScript have one number type, so 32.0 is a valid width."""
    given = {"prompt": "x", "width": 32.0, "height": 16, "seed": 1.0}

    assert "succeeded" == world.run(api, FLUX, given, Prefer="wait").json()["status"]


def test_an_output_needs_no_token_and_expires(api, world, clock):
    """Anyone with the URL can read an output file until the file is deleted an hour after the prediction's end."""
    url = world.run(api, FLUX, {"prompt": "x"}, Prefer="wait").json()["output"][0]
    del api.headers["Authorization"]
    clock.advance(3590)
    kept = api.get(url).status_code
    clock.advance(20)

    assert (200, 404) == (kept, api.get(url).status_code)


def test_outputs_as_data_urls(world, clock):
    """On request the output has data URLs instead of file URLs, and these can be inputs."""
    with world.connect(Emulator(clock=clock, outputs="data")) as api:
        output = world.run(api, FLUX, {"prompt": "x", "num_outputs": 2}, Prefer="wait").json()["output"]

    assert 2 == len(set(output))
    assert all(base64.b64decode(one.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG") for one in output)


def test_a_blocking_create_that_is_answered_early(world):
    """The early answer has the whole output and the status before the end, but the prediction itself has succeeded."""
    with world.misbehaving("early") as api:
        made = world.hello(api, Prefer="wait").json()
        ended = api.get(made["urls"]["get"]).json()

    assert ("processing", "hello Ada", None, {}) == (
        made["status"],
        made["output"],
        made["completed_at"],
        made["metrics"],
    )
    assert ("succeeded", "hello Ada") == (ended["status"], ended["output"])


def test_latency_and_speed(world, clock):
    """The latency delays each answer, and the speed factor shortens each model run."""
    with world.connect(Emulator(clock=clock, latency=0.5, speed=10)) as api:
        job = world.run(api, VIDEO, {"prompt": "x"}).json()
        later = clock.time()
        clock.advance(7)
        early = api.get(job["urls"]["get"]).json()
        clock.advance(1)

        assert (0.5, "processing") == (later - 1767225600, early["status"])
        assert 7.0 == api.get(job["urls"]["get"]).json()["metrics"]["predict_time"]


def test_pages_of_predictions(api, world):
    """A page has 100 predictions, newest first, with absolute links; new predictions do not shift a page."""
    ids = [world.hello(api).json()["id"] for _ in range(230)][::-1]
    first = api.get("/predictions").json()
    world.hello(api)
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    assert ids == [one["id"] for page in (first, second, third) for one in page["results"]]
    assert [None, None] == [first["previous"], third["next"]]
    assert first["next"].startswith("http://emulator.localhost/v1/predictions?cursor=")
    assert ids[:100] == [one["id"] for one in api.get(second["previous"]).json()["results"]]
    assert 404 == api.get("/predictions", params={"cursor": "nonsense"}).status_code


def test_predictions_by_time_and_source(api, world, clock):
    """`created_after` includes its own time, `created_before` does not; no prediction has the source web."""
    early = world.hello(api).json()
    clock.advance(60)
    late = world.hello(api).json()

    def listed(**params):
        return [one["id"] for one in api.get("/predictions", params=params).json()["results"]]

    assert [late["id"]] == listed(created_after=late["created_at"])
    assert [early["id"]] == listed(created_before=late["created_at"])
    assert [] == listed(source="web")
    assert 422 == api.get("/predictions", params={"created_after": "yesterday"}).status_code
    assert 422 == api.get("/predictions", params={"source": "api"}).status_code


def test_the_same_seed_gives_the_same_answers(clock, world):
    """Two emulators with the same seed and clock give equal answers, including ids."""
    answers = [world.hello(world.connect(Emulator(clock=clock, seed=7))).text for _ in range(2)]

    assert answers[0] == answers[1]


def test_pages_for_people(api, world):
    """`urls.web` and a model's `url` are plain text pages."""
    job = world.hello(api).json()

    assert "status: starting" in api.get(job["urls"]["web"]).text
    assert "hello-world" in api.get(api.get("/models/replicate/hello-world").json()["url"]).text


def test_ids_have_the_form_of_the_api(api, world):
    """An id has 26 letters and digits, of which four are the same in every id, as in the API."""
    ids = [world.hello(api).json()["id"] for _ in range(3)]

    assert all(
        re.fullmatch(r"[0-9a-hjkmnp-tv-z]{10}r[mgj][0-9a-hjkmnp-tv-z]0c[0-9a-hjkmnp-tv-z]{11}", one) for one in ids
    )
    assert 3 == len(set(ids))
