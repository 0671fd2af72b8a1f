"""The base class for the arguments of services."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

Name = Annotated[str, Meta(max_length=600)]


class Arguments(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The arguments of a service. Without an account, the run's default is used."""

    account: Name = ""


AnyArguments = TypeVar("AnyArguments", bound=Arguments)
