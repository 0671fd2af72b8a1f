"""Find model versions according to a command's flags: only on this machine, or through the gate."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from kosmolua.errors import KosmoError

if TYPE_CHECKING:
    from kosmolua.cli.options import Options
    from kosmolua.host.host import Host
    from kosmolua.replicate.versions import Version


def kept(options: Options) -> Callable[[str], Version | None]:
    """A function that finds versions without a request."""
    from kosmolua.host.kept_versions import kept_version

    return kept_version(options.account, emulate=options.emulate, models=options.models)


class Versions:
    """Finds versions of models: with ``online`` through the gate, else only on this machine."""

    def __init__(self, options: Options, *, online: bool) -> None:
        self._options = options
        self._online = online
        self._host: Host | None = None
        self.unknown: set[str] = set()  # models whose version was not found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._host:
            self._host.close()

    def version(self, reference: str) -> Version | None:
        found = self._found(reference)
        if found is None:
            self.unknown.add(reference)
        return found

    def _found(self, reference: str) -> Version | None:
        if not self._online:
            return kept(self._options)(reference)
        if self._host is None:
            from kosmolua.cli.host import host_of

            self._host = host_of(self._options, isolation="none")
        try:
            return self._host.versions().known(reference)
        except KosmoError:
            return None


def version_of(host: Host, reference: str, options: Options) -> Version | None:
    """The version of a model, or None if it is not found. A dry run searches only this machine; others use the gate."""
    from kosmolua.settings import recent

    if not options.dry_run:
        try:
            return host.versions().known(reference)
        except KosmoError:  # includes a reference that cannot be parsed
            return None
    find = kept(options)
    last = next((one.version for one in recent.read(os.environ) if one.model == reference), "")
    return find(reference) or (find(f"{reference.partition(':')[0]}:{last}") if last else None)
