"""What a check knows about the run: the policy, the header of the script, and schemas of models."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Self

from kosmolua.errors import KosmoError, UsageError

if TYPE_CHECKING:
    from kosmolua.check.problem import Problem
    from kosmolua.cli.options import Options
    from kosmolua.gate.needs import Needs
    from kosmolua.host.host import Host
    from kosmolua.replicate.catalogue import Operation
    from kosmolua.replicate.versions import Version
    from kosmolua.settings.config import Settings


def header(text: bytes, file: str) -> tuple[Needs | None, list[Problem]]:
    """The declarations of the header, or the problems in it."""
    from kosmolua.check.problem import Problem
    from kosmolua.gate import needs

    if b"--@" not in text:
        return None, []
    try:
        return needs.read(text, file), []
    except UsageError as error:
        line = error.message.removeprefix(f"{file}:").partition(":")[0]
        message = error.message.removeprefix(f"{file}:{line}: ")
        number = int(line) if line.isdigit() else 1
        problem = Problem(
            file=file, line=number, column=1, severity="error", code=error.code, message=message, hint=error.hint
        )
        return None, [problem]


class Policy:
    """Returns the error if the policy denies a function for all arguments. Questions are left to the gate."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._policy: Any = None

    def __call__(self, operation: Operation, account: str, arguments: Mapping[str, Any]) -> KosmoError | None:
        from kosmolua.gate import policy
        from kosmolua.gate.refusals import denied

        if self._options.force or (self._options.emulate and not (self._options.read or self._options.write)):
            return None
        self._policy = self._policy or policy.policy_of(self._settings())
        call = policy.Call(operation, account, arguments, from_script=True)
        decision = policy.decide(self._policy, call)
        if decision.verdict == "deny" and not policy.may_be(self._policy, call):
            return denied(operation, decision)
        return None

    def _settings(self) -> Settings:
        from kosmolua.settings import config

        options = self._options
        if not options.emulate:
            return config.load(os.environ, read=options.read, write=options.write)
        return config.Settings(
            read=config.Value(options.read or "allow", "--read"),
            write=config.Value(options.write or "allow", "--write"),
        )


class Versions:
    """Finds versions of models: with ``online`` through the gate, else only on this machine."""

    def __init__(self, options: Options, *, online: bool) -> None:
        self._options = options
        self._online = online
        self._host: Host | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._host:
            self._host.close()

    def version(self, reference: str) -> Version | None:
        if not self._online:
            return kept_version(self._options)(reference)
        if self._host is None:
            from kosmolua.cli.host import host_of

            self._host = host_of(self._options, isolation="none")
        try:
            return self._host.versions().known(reference)
        except KosmoError:
            return None


def kept_version(options: Options) -> Callable[[str], Version | None]:
    """A function that finds versions without a request: those of the emulator, or those cached on disk."""

    def find(reference: str) -> Version | None:
        from kosmolua.replicate.versions import Version

        if options.emulate:
            from kosmolua.emulator.genesis import MODELS

            name, _, version = reference.partition(":")
            if options.models and (public := _published(options.models, name)):
                return public if version in {"", public.id} else None
            found = next((one for one in MODELS if one.slug == name), None)
            return Version(version, found.schema) if found and version in {"", found.version} else None
        return _on_disk(options, reference)

    return find


def version_of(host: Host, reference: str, options: Options) -> Version | None:
    """The version of a model: in a dry run from this machine, else through the gate. None if it cannot be found."""
    from kosmolua.settings import recent

    if not options.dry_run:
        try:
            return host.versions().known(reference)
        except KosmoError:  # of a reference that cannot be parsed
            return None
    find = kept_version(options)
    last = next((one.version for one in recent.read(os.environ) if one.model == reference), "")
    return find(reference) or (find(f"{reference.partition(':')[0]}:{last}") if last else None)


def _published(path: str, name: str) -> Version | None:
    """The version of a public model that was added to the emulator."""
    from kosmolua.emulator.documents import Documents
    from kosmolua.replicate.versions import Version

    documents = Documents(path)
    found = documents.document(name).get("latest_version") if name in documents.places else None
    return Version(str(found.get("id")), found.get("openapi_schema")) if isinstance(found, dict) else None


def _on_disk(options: Options, reference: str) -> Version | None:
    """The cached version of that id, if the account uses the server that the cache is for."""
    from kosmolua.replicate.catalogue import SERVER
    from kosmolua.replicate.versions import Version, parse
    from kosmolua.services.schemas import Cache
    from kosmolua.settings import config, paths

    try:
        version = parse(reference).version
        if not version or config.load(os.environ).url_of(options.account).value != SERVER:
            return None
    except KosmoError:
        return None
    schema = Cache(os.path.join(paths.cache_directory(os.environ), "versions")).get(version)
    return Version(version, schema) if schema is not None else None
