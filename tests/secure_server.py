"""The recording server with TLS and a self-signed certificate."""

import ssl
import subprocess

from recording_server import RecordingServer


def certificate_for(directory, name="localhost"):
    """Creates a self-signed certificate for the given name; returns the files of the certificate and of its key."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", certificate, "-days", "1",
         "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return certificate, key


class SecureServer(RecordingServer):
    """Serves only clients that trust its certificate."""

    def __init__(self, certificate, key):
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        super().__init__()

    @property
    def url(self):
        return f"https://localhost:{self.port}/v1"

    def _talk(self, connection):
        self._open.discard(connection)
        try:
            secured = self._context.wrap_socket(connection, server_side=True)
        except OSError:  # a client that does not trust the certificate
            connection.close()
            return
        self._open.add(secured)
        super()._talk(secured)
