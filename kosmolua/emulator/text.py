"""A very small language model: a Markov chain that writes about the subject of the prompt."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from functools import lru_cache
from random import Random

from kosmolua.emulator.identifiers import number

# Written for this emulator. SUBJECT is replaced by the subject of the prompt.
CORPUS = """
The SUBJECT stands in the first light of the morning and the hills behind it are still blue .
A thin mist lies over the water and the SUBJECT seems to float in it .
Far away a bell rings and nobody answers .
The light falls softly on the SUBJECT and every edge of it turns to gold .
Behind the SUBJECT the road climbs to the hills and is lost in the mist .
Nothing moves but the grass and the long shadow of the SUBJECT .
The colors are few : a warm red , a deep green and the grey of wet stone .
In the evening the wind turns and the water carries the last light away .
You can hear the SUBJECT before you see it , like a bell in the mist .
The sky opens slowly and the hills come forward one after another .
Whoever looks at the SUBJECT for long forgets the road and the evening .
A bird crosses the sky , and its shadow crosses the SUBJECT .
The water is so still that the SUBJECT stands in it twice .
Every stone keeps some of the warm light when the evening comes .
It is quiet here , and the SUBJECT belongs to the quiet .
The grass bends , the light changes , and the picture is complete .
"""
OPENINGS = (
    "Picture the SUBJECT as the day begins.",
    "Here is the SUBJECT, seen from close by.",
    "Think of the SUBJECT at the edge of a wide valley.",
    "Let me tell you about the SUBJECT.",
)
# Words of a prompt that are not its subject.
_IDLE = frozenset(
    re.findall(
        r"\w+",
        "a about an and are as at be by can could describe do draw for from give how i in is it make me my of on one "
        "or paint paragraph please poem sentence sentences short some story tell that the this to two three what with "
        "words write you your",
    )
)
_SENTENCES = 4


def subject(prompt: str) -> str:
    """The subject of a prompt: its first few meaningful words."""
    words = re.findall(r"[^\W_]+(?:['-][^\W_]+)*", prompt.lower())
    return " ".join([word for word in words if word not in _IDLE][:6]) or "thing nobody asked for"


@lru_cache(maxsize=1)
def _chain() -> dict[tuple[str, str], Counter[str]]:
    chain: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for line in CORPUS.strip().splitlines():
        words = ["", "", *line.split()]
        for first, second, third in zip(words, words[1:], words[2:], strict=False):
            chain[first, second][third] += 1
            # Second order alone would reproduce the corpus; first order mixes sentences.
            chain["", second][third] += 1
    return dict(chain)


def _choose(options: Counter[str], chance: Random, temperature: float) -> str:
    if temperature <= 0:
        return max(sorted(options), key=options.__getitem__)
    weights = [count ** (1 / temperature) for count in options.values()]
    return chance.choices(list(options), weights)[0]


def _sentence(chance: Random, temperature: float) -> list[str]:
    words: list[str] = []
    first = second = ""
    while not words or (words[-1] != "." and len(words) < 40):  # noqa: PLR2004 - the chain may loop
        crossing = second and temperature > 0 and chance.random() < min(temperature, 2.0) / 4
        options = _chain()["" if crossing else first, second]
        first, second = second, _choose(options, chance, temperature)
        words.append(second)
    return words


@lru_cache(maxsize=64)
def write(
    prompt: str, system_prompt: str, seed: int, temperature: float, min_tokens: int, max_tokens: int
) -> tuple[str, ...]:
    """Tokens of a text about the prompt: words with their leading spaces."""
    key = number(prompt, system_prompt, seed if temperature > 0 else "")
    chance = Random(key)  # noqa: S311 - not a secret
    words = chance.choice(OPENINGS).split()
    sentences = 1
    while len(words) < max_tokens and (sentences < _SENTENCES or len(words) < min_tokens):
        words += _sentence(chance, temperature if sentences > 1 or temperature > 0 else 0.5)
        sentences += 1
    return tuple(_tokens(words, subject(prompt))[:max_tokens])


def _tokens(words: list[str], about: str) -> list[str]:
    named = " ".join(words).replace("SUBJECT", about)
    tidy = re.sub(r" ([.,:])", r"\1", named)
    return re.findall(r"\s?\S+", tidy)
