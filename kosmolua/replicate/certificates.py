"""The certificates to verify the API's server against."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from kosmolua.errors import ConfigurationError

if TYPE_CHECKING:
    import ssl

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # the first one that is set applies
SYSTEM = ("KOSMO_CERTIFICATES", "system")  # else this one, for the store of the operating system
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")  # the file names by which OpenSSL finds certificates in a directory


def named(environment: Mapping[str, str]) -> tuple[str, str] | None:
    """The environment variable that names the certificates, with its value; None if the built-in ones are used."""
    names = (*VARIABLES, SYSTEM[0])
    return next(((name, environment[name]) for name in names if environment.get(name)), None)


def context(environment: Mapping[str, str]) -> ssl.SSLContext | None:
    """The context for the certificates in the environment; None if not set. Raises a `ConfigurationError` that names
    the variable.
    """
    found = named(environment)
    if found is None:
        return None
    variable, place = found
    if variable == SYSTEM[0]:
        return _system(place)
    import ssl  # takes 3 ms, and plain http on this machine does not need it

    try:
        return _of_file(place) if variable == VARIABLES[0] else _of_directories(place)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        words = (
            "it holds no certificate in PEM form"
            if isinstance(error, ssl.SSLError)
            else getattr(error, "strerror", None) or str(error)
        )
        what = (
            "a file of certificates in PEM form" if variable == VARIABLES[0] else "a directory that c_rehash has made"
        )
        raise ConfigurationError(
            f"{variable}: cannot use {place[:200]!r}: {words}", hint=f"name {what}, or unset it: unset {variable}"
        ) from None


@cache
def built_in() -> ssl.SSLContext:
    """The context of the certificates that certifi ships: Mozilla's list."""
    import ssl

    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def hint(environment: Mapping[str, str]) -> str:
    """What to do if a server's certificate is not trusted."""
    found = named(environment)
    now = f" (now {found[0]} is {found[1][:200]!r})" if found else ""
    return (
        "if a proxy or a private authority signed it, name that authority's certificate: "
        f"export SSL_CERT_FILE=/path/to/authority.pem{now}; if this machine trusts it already: "
        f"export {SYSTEM[0]}={SYSTEM[1]}"
    )


def _system(value: str) -> ssl.SSLContext:
    """The certificates that the operating system trusts: its administrator may have added a company's authority."""
    import ssl
    from importlib import import_module

    variable, expected = SYSTEM
    if value != expected:
        raise ConfigurationError(
            f"{variable}: expected {expected}, got {value[:100]!r}", hint=f"correct it, or unset it: unset {variable}"
        )
    try:
        found: ssl.SSLContext = import_module("truststore").SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    except ImportError:
        raise ConfigurationError(
            f"{variable}: the package truststore is not installed",
            hint="install it: pip install 'kosmolua[truststore]'",
        ) from None
    return found


def _of_file(path: str) -> ssl.SSLContext:
    if os.path.isdir(path):
        raise IsADirectoryError(21, "it is a directory; use SSL_CERT_DIR")
    import ssl

    made = ssl.create_default_context(cafile=path)
    if not made.cert_store_stats()["x509"]:
        raise ValueError("it contains no PEM certificate")
    return made


def _of_directories(places: str) -> ssl.SSLContext:
    names = [name for place in places.split(os.pathsep) if place for name in os.listdir(place)]
    if not any(map(_HASHED.fullmatch, names)):
        raise ValueError("no file in it is named after the hash of a certificate")
    import ssl

    return ssl.create_default_context(capath=places)
