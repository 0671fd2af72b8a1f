"""Show the requests of a dry run, on standard error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from kosmolua.gate.entry import Entry
    from kosmolua.host.result import Result
    from kosmolua.replicate.catalogue import Operation


class Requests:
    """A watcher that keeps the requests that would have been sent, and prints each unless ``quiet``."""

    def __init__(self, *, quiet: bool) -> None:
        self.requests: list[Any] = []
        self._quiet = quiet

    def __call__(self) -> Self:
        return self

    def close(self) -> None:
        """Do nothing: no progress line was drawn."""

    def begins(self, entry: Entry, operation: Operation, given: Mapping[str, Any]) -> None:
        """Do nothing: a dry run sends no request that could begin."""

    def ended(self, entry: Entry, operation: Operation, given: Mapping[str, Any], data: Any, _: object) -> None:
        if entry.outcome != "dry_run":
            return
        if data is None:  # an upload or download
            data = {"method": operation.method, "url": given.get("url")}
        self.requests.append({"function": entry.function, **data})
        if not self._quiet:
            _print(entry.function, data)

    def followed(self, url: str, event: str, data: str) -> None:
        """Do nothing: a dry run reads no stream."""

    def downloading(self, path: str, received: int, total: int | None) -> None:
        """Do nothing: a dry run downloads no file."""


def stopped(result: Result, *, quiet: bool) -> Result:
    """The result of a dry run. If it stopped at a request, remove that error from the result, and report where it
    stopped unless ``quiet``.
    """
    from msgspec.structs import replace

    error = result.error
    if error is None or error.code != "dry_run":
        if error and error.code == "script_error" and not error.hint:
            error.hint = "in a dry run a call returns its request, which does not have the fields of an answer"
        return result
    if not quiet:
        from kosmolua.cli.host import print_notice

        where = getattr(error, "where", None)
        print_notice(f"the dry run stops here: {f'{where}: ' if where else ''}{error.message}")
    return replace(result, error=None)


def _print(function: str, data: Mapping[str, Any]) -> None:
    from kosmolua.cli.host import print_notice
    from kosmolua.cli.output import to_json

    body = f" {to_json(data['body'], indent=False)}" if data.get("body") is not None else ""
    print_notice(f"{function} would send: {data['method']} {data['url']}{body}")
