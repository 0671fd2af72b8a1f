"""A self-signed certificate for a server on this machine; it is valid for a week."""

from __future__ import annotations

import os
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from kosmolua.errors import ConfigurationError, UsageError

_NAMES = ("DNS:localhost", "DNS:*.localhost", "IP:127.0.0.1", "IP:::1")
# Programs that trust the certificate treat it as an authority, so it is limited to these names.
_PERMITTED = ("DNS:localhost", "IP:127.0.0.1/255.255.255.255", f"IP:::1/{':'.join(['ffff'] * 8)}")
_EXTENSIONS = ("basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=critical,digitalSignature,keyCertSign")
_DAYS, _SECONDS = "7", 60


@contextmanager
def certified(*more: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Yield the path of a new certificate, which exists inside this context, and a server context with its key."""
    with TemporaryDirectory(prefix="kosmolua-emulator-") as directory:
        certificate, key = make_certificate(directory, *more)
        context = server_context(certificate, key)
        os.remove(key)
        yield certificate, context


def make_certificate(directory: str, *more: str) -> tuple[str, str]:
    """Make a certificate and its key in a directory. Returns the paths of both, certificate first.

    The certificate is valid for this machine and for the names in ``more``. Raises a ConfigurationError if the program
    openssl is missing.
    """
    certificate, key = os.path.join(directory, "certificate.pem"), os.path.join(directory, "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", _DAYS, "-subj", "/CN=localhost"]
    names = [f"DNS:{name}" for name in more]
    permitted = ",".join(f"permitted;{name}" for name in (*_PERMITTED, *names))
    alternatives = f"subjectAltName={','.join((*_NAMES, *names))}"
    for extension in (alternatives, f"nameConstraints=critical,{permitted}", *_EXTENSIONS):
        command += ["-addext", extension]
    try:
        subprocess.run(  # noqa: S603 - the only variable argument is a directory that was created here
            [*command, "-keyout", key, "-out", certificate],
            check=True,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=_SECONDS,
        )
    except FileNotFoundError:
        raise ConfigurationError(
            "--https needs the program openssl, which was not found", hint="install it: apt install openssl"
        ) from None
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError(f"openssl cannot make a certificate: {_last(error)}") from None
    return certificate, key


def _last(error: Exception) -> str:
    said = getattr(error, "stderr", None) or b""
    return (said.decode(errors="replace").strip().splitlines() or [str(error)])[-1]


def server_context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
