"""LiteLLM calls as its documentation shows them: completions and streams, each with and without asyncio."""

import asyncio
import sys

import litellm

litellm.suppress_debug_info = True
REQUEST = {
    "model": "replicate/meta/meta-llama-3-8b-instruct",
    "messages": [{"role": "user", "content": "a lighthouse"}],
    "max_tokens": 20,
}


def check(name, text):
    assert len(text.split()) > 5, (name, text)
    sys.stdout.write(f"{name}\n")


def text_of(chunks):
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


async def asynchronous():
    answer = await litellm.acompletion(**REQUEST)
    check("acompletion", answer.choices[0].message.content)
    chunks = [chunk async for chunk in await litellm.acompletion(**REQUEST, stream=True)]
    check("acompletion-stream", text_of(chunks))


check("completion", litellm.completion(**REQUEST).choices[0].message.content)
check("completion-stream", text_of(litellm.completion(**REQUEST, stream=True)))
asyncio.run(asynchronous())
