"""Versions of models that are known without a request: the emulator's versions, and those cached on disk."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from kosmolua.errors import KosmoError

if TYPE_CHECKING:
    from kosmolua.replicate.versions import Version


def kept_version(account: str, *, emulate: bool, models: str | None = None) -> Callable[[str], Version | None]:
    """A function that finds versions without a request: the emulator's versions, or those cached on disk."""

    def find(reference: str) -> Version | None:
        from kosmolua.replicate.versions import Version

        if emulate:
            from kosmolua.emulator.genesis import MODELS

            name, _, version = reference.partition(":")
            if models and (public := _published(models, name)):
                return public if version in {"", public.id} else None
            found = next((one for one in MODELS if one.slug == name), None)
            return Version(version, found.schema) if found and version in {"", found.version} else None
        return _on_disk(account, reference)

    return find


def _published(path: str, name: str) -> Version | None:
    """The version of a public model that was added to the emulator."""
    from kosmolua.emulator.documents import Documents
    from kosmolua.replicate.versions import Version

    documents = Documents(path)
    found = documents.document(name).get("latest_version") if name in documents.places else None
    return Version(str(found.get("id")), found.get("openapi_schema")) if isinstance(found, dict) else None


def _on_disk(account: str, reference: str) -> Version | None:
    """The cached version with that id, if the account uses the server that the cache is for."""
    from kosmolua.replicate.catalogue import SERVER
    from kosmolua.replicate.versions import Version, parse
    from kosmolua.services.schemas import Cache
    from kosmolua.settings import config, paths

    try:
        version = parse(reference).version
        if not version or config.load(os.environ).url_of(account).value != SERVER:
            return None
    except KosmoError:
        return None
    schema = Cache(os.path.join(paths.cache_directory(os.environ), "versions")).get(version)
    return Version(version, schema) if schema is not None else None
