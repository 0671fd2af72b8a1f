"""LangChain calls as its documentation shows them: text, a chain, streams, and a picture."""

import asyncio
import sys
import warnings

warnings.simplefilter("ignore")

from langchain_community.llms import Replicate  # noqa: E402 - it warns of itself
from langchain_core.prompts import PromptTemplate  # noqa: E402 - as above


def check(name, text):
    assert len(text.split()) > 5, (name, text)
    sys.stdout.write(f"{name}\n")


async def asynchronous(llm):
    check("ainvoke", await llm.ainvoke("a lighthouse"))
    check("astream", "".join([piece async for piece in llm.astream("a lighthouse")]))


llm = Replicate(model="meta/meta-llama-3-8b-instruct", model_kwargs={"max_tokens": 20, "seed": 1})
check("invoke", llm.invoke("a lighthouse"))
check("chain", (PromptTemplate.from_template("About {subject}") | llm).invoke({"subject": "the sea"}))
check("stream", "".join(llm.stream("a lighthouse")))
check("batch", " ".join(llm.batch(["a lighthouse", "the sea"])))
asyncio.run(asynchronous(llm))
picture = Replicate(model="black-forest-labs/flux-schnell", model_kwargs={"width": 16, "height": 16}).invoke("a fox")
assert picture.startswith("http"), picture
sys.stdout.write("picture\n")
