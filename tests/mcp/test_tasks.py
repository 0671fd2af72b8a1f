"""Tasks of several steps, each done in one call of execute_lua, as in docs/mcp.md."""

import asyncio

import pytest

NEWEST = """
  for prediction in replicate.each("list_predictions") do
    if prediction.model == "replicate/hello-world" and prediction.status == "succeeded" then
      return prediction.output
    end
  end
"""
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP438AAAAQBAYDFKhhdAAAAAElFTkSuQmCC"
)
BEST = f"""
  local prompt = "a fox in the snow"
  local inputs = {{
    ["black-forest-labs/flux-schnell"] = {{ prompt = prompt }},
    ["stability-ai/sdxl"] = {{ prompt = prompt }},
    ["nightmareai/real-esrgan"] = {{ image = "{PIXEL}" }},
  }}
  local models = {{}}
  for model in pairs(inputs) do models[#models + 1] = model end
  local made = parallel(models, function(model)
    local output, prediction = run(model, inputs[model])
    return {{ model = model, url = output.url or output[1].url, seconds = prediction.metrics.predict_time }}
  end)
  table.sort(made, function(a, b) return a.seconds < b.seconds end)
  made[1].saved = download(made[1].url, "best")
  return {{ model = made[1].model, bytes = made[1].saved.size }}
"""
CANCEL = """
  local running = {}
  for prediction in replicate.each("list_predictions") do
    if prediction.status == "starting" or prediction.status == "processing" then running[#running + 1] = prediction end
  end
  local ended = replicate.cancel_all(running)
  for i, prediction in ipairs(ended) do ended[i] = prediction.status end
  return ended
"""


@pytest.fixture
def one_call(connected, tmp_path):
    """The result of a script in one call, after another script prepared the account."""

    def run(source, before="return 0"):
        async def main():
            flags = ["--code", "--emulate", "--write", "allow", "--allow-write", str(tmp_path)]
            async with connected(*flags) as client:
                assert not (await client.call_tool("execute_lua", {"source": before})).is_error
                return await client.call_tool("execute_lua", {"source": source})

        answer = asyncio.run(main())
        assert not answer.is_error, answer.content[0].text
        return answer.structured_content

    return run


def test_the_newest_output_of_a_model(one_call):
    """The script reads the list page by page, only as far as necessary."""
    before = """
      run("replicate/hello-world", { text = "Ada" })
      run("replicate/hello-world", { text = "Grace" })
      run("black-forest-labs/flux-schnell", { prompt = "a fox" })
    """

    assert "hello Grace" == one_call(NEWEST, before)["result"]


def test_the_fastest_of_three_models(one_call, tmp_path):
    """Three models run concurrently, and the file of the fastest is saved."""
    answer = one_call(BEST)

    assert 3 == answer["spent"]["predictions"]
    assert (tmp_path / "best").stat().st_size == answer["result"]["bytes"] > 0


def test_all_running_predictions_are_canceled(one_call):
    """All running predictions of the account are canceled, whoever started them."""
    before = """
      for _ = 1, 4 do replicate.create("meta/meta-llama-3-8b-instruct", { prompt = "x", max_tokens = 4000 }) end
    """

    assert ["canceled"] * 4 == one_call(CANCEL, before)["result"]
