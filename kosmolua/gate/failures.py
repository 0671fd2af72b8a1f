"""How a failed call is recorded, and whether the API may have executed it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from shlex import quote

from msgspec import Struct

from kosmolua.errors import ApiError, InternalError, KosmoError, SystemFailureError, UncertainError, failure_of
from kosmolua.gate.entry import Entry
from kosmolua.gate.functions import subject
from kosmolua.gate.kept import GONE
from kosmolua.replicate import catalogue, structs
from kosmolua.replicate.catalogue import Operation
from kosmolua.replicate.token import looks_like_token
from kosmolua.settings.config import account_flag

_NO_VERSION = "Invalid version or not permitted"  # the title of a 422
_NOT_FOUND = 404
_LOOK = "kosmo integrations:call"
_SERVER_FAULT = 500  # from this status on, the server may have executed the call before it failed


class Failures:
    """Converts exceptions to errors of this package. ``reveals`` says whether a text contains a token."""

    def __init__(self, reveals: Callable[[str], bool]) -> None:
        self._reveals = reveals

    def of(self, error: BaseException, function: str) -> KosmoError:
        """The exception as a `KosmoError`. Its text may come from other code, and is dropped if it contains a token."""
        failure = failure_of(error, function)
        if failure is not error and self._reveals(f"{failure.message} {failure.detail}"):
            hidden = f"{function}: {type(error).__name__} (message hidden because it contains a token)"
            return InternalError(hidden, hint=failure.hint)
        return failure


def blamed(entry: Entry, error: KosmoError) -> KosmoError:
    """Note the error in the entry, and the function in the error. Returns the error."""
    entry.code = error.code
    entry.status = getattr(error, "status", None)
    entry.request_id = getattr(error, "request_id", None)
    entry.note = error.note or entry.note
    error.function = error.function or entry.function
    return error


def not_taken(error: KosmoError) -> bool:
    """Whether the API certainly did not execute the call. A failed custom function counts as executed."""
    if isinstance(error, ApiError):
        return error.status < _SERVER_FAULT
    return not isinstance(error, UncertainError | InternalError | SystemFailureError)


def explain_doubt(error: KosmoError, operation: Operation, arguments: Struct, account: str) -> None:
    """Complete the command in the hint that shows whether a write was executed: fill in the object's names and the
    account.
    """
    if not error.hint or operation.proof is None or not_taken(error) or _LOOK not in error.hint:
        return
    place = operation.proof.place

    def filled(match: re.Match[str]) -> str:
        return f"--{match[1]}={quote(str(getattr(arguments, place.get(match[1], match[1]), '…')))}"

    error.hint = re.sub(r"--(\w+)=…", filled, error.hint) + account_flag(account)


def explain_absence(error: KosmoError, operation: Operation, arguments: Struct, made: float | None = None) -> None:
    """Explain a "not found" error. ``made`` is when an output was made, in Unix seconds."""
    if operation is catalogue.DOWNLOAD and getattr(error, "status", None) in GONE:
        when = f" (this one at {time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(made))})" if made else ""
        error.message += f"; Replicate removes outputs an hour after they were made{when}, so it has probably expired"
        error.args = (error.message,)
        error.hint = (
            "save outputs in the script that makes them, with download(output, path), or keep them with a journal: "
            "kosmo lua --journal NAME; run the model again"
        )
    elif getattr(error, "title", None) == _NO_VERSION:
        error.hint = (
            error.hint
            or "pass the id of a version, such as latest_version.id from get_model, or use run, which finds the version"
        )
    elif error.code == "not_found" and (name := subject(operation, arguments)):
        error.hint = f"check the spelling of {name}, and that the account may see it"
        model = getattr(arguments, "model_name", None)
        if model and not looks_like_token(model):
            error.hint += f"; find similar models: kosmo models search {quote(structs.short(model))}"
        if known := operation.refusals.get(_NOT_FOUND):
            error.hint += f"; {known}"
