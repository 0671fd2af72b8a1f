"""The emulator's cost depends on the page and the request, not on the amount of its data."""

import gc
import threading
import time

import httpx

from kosmolua.testing import emulating

FLUX = "black-forest-labs/flux-schnell"


def cpu(action):
    began = time.process_time()
    action()
    return time.process_time() - began


def test_a_page_costs_the_same_among_many(api, world):
    """The first page and a middle page cost the same for 3,000 predictions as for 200."""

    def pages():
        first = api.get("/predictions").json()
        return api.get(first["next"]).json()

    def cost():
        return min(cpu(pages) for _ in range(5))

    for _ in range(200):
        world.hello(api)
    few = cost()
    for _ in range(2800):
        world.hello(api)

    assert cost() < 2 * few


def test_all_pages_hold_each_prediction_once(api, world, clock):
    """The pages have each prediction once, newest first, in both directions, also while predictions are created."""
    made = [world.hello(api).json()["id"] for _ in range(250)][::-1]
    first = api.get("/predictions").json()
    world.hello(api)
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    assert made == [each["id"] for page in (first, second, third) for each in page["results"]]
    assert third["next"] is None
    assert second["results"] == api.get(third["previous"]).json()["results"]
    assert made[:100] == [each["id"] for each in api.get(second["previous"]).json()["results"]]


def test_a_picture_is_painted_when_it_is_fetched(api, world, clock):
    """Listing a hundred finished pictures paints none of them."""
    for _ in range(100):
        world.run(api, FLUX, {"prompt": "dusk", "width": 1024, "height": 1024})
    clock.advance(60)

    assert cpu(lambda: api.get("/predictions").json()["results"][0]["output"]) < 1
    url = api.get("/predictions").json()["results"][0]["output"][0]
    assert api.get(url).content.startswith(b"\x89PNG")


def test_requests_do_not_wait_for_painting():
    """Other requests are answered while one waits for a hundred pictures as data URLs."""
    with emulating(outputs="data", speed=100) as emulator:
        api = httpx.Client(base_url=emulator.url, headers={"Authorization": "Bearer x"}, timeout=120)
        body = {"input": {"prompt": "dusk", "width": 256, "height": 256, "num_outputs": 4}}
        for _ in range(25):
            api.post(f"/models/{FLUX}/predictions", json=body)
        emulator.advance(60)
        listing = threading.Thread(target=api.get, args=("/predictions",))
        listing.start()
        answered = 0
        while listing.is_alive():
            assert httpx.get(f"{emulator.url}/account", headers={"Authorization": "Bearer x"}).status_code == 200
            answered += listing.is_alive()
        api.close()

    assert answered > 3


def test_removed_data_is_freed(api, world, clock):
    """An hour after its end a prediction has only its state and metrics; the memory of files and inputs is freed."""
    long = "marked" * 10_000
    made = world.run(api, FLUX, {"prompt": long, "width": 16, "height": 16}).json()
    clock.advance(60)
    ended = api.get(f"/predictions/{made['id']}").json()
    assert api.get(ended["output"][0]).content.startswith(b"\x89PNG")
    clock.advance(3600)
    removed = api.get(f"/predictions/{made['id']}").json()

    assert {**ended, "input": {}, "output": None, "logs": "", "data_removed": True} == removed
    gc.collect()
    assert [] == [each for each in gc.get_objects() if isinstance(each, dict) and each.get("prompt") == long]
