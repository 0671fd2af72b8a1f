"""Ids and secrets: random, or reproducible from a seed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from itertools import count


class IdSource:
    """New ids of 26 letters and digits, as the API makes them, and named secrets."""

    def __init__(self, seed: int | str | None = None) -> None:
        self._key = secrets.token_bytes(32) if seed is None else f"kosmolua emulator {seed}".encode()
        self._numbers = count()
        self._requests = count()

    def new(self) -> str:
        return _letters(self.secret(f"id {next(self._numbers)}"))

    def request(self) -> str:
        """The id of a request. Requests are counted separately, so that reads do not change other ids."""
        return self.secret(f"request {next(self._requests)}").hex()[:32]

    def secret(self, name: str) -> bytes:
        return hmac.new(self._key, name.encode(), "sha256").digest()


_LETTERS = "0123456789abcdefghjkmnpqrstvwxyz"


def _letters(random: bytes) -> str:
    """26 letters and digits, with the four fixed ones of the API's ids."""
    made = [_LETTERS[byte % 32] for byte in random[:26]]
    made[10], made[11], made[13:15] = "r", "mgj"[random[26] % 3], "0c"
    return "".join(made)


def example_id(slug: str) -> str:
    """The id of a model's example prediction, the same in every emulator."""
    return _letters(digest("example", slug))


def digest(*parts: object) -> bytes:
    return hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()


def number(*parts: object) -> int:
    """A number below 2^31 that depends only on the parts."""
    return int.from_bytes(digest(*parts)[:4], "big") >> 1


def version_id(*parts: object) -> str:
    return digest(*parts).hex()


def sign(secret: bytes, owner: str, file_id: str, expiry: int | str) -> str:
    """The signature of a download link, as the Files API defines it."""
    code = hmac.new(secret, f"{owner} {file_id} {expiry}".encode(), "sha256").digest()
    return base64.b64encode(code).decode()
