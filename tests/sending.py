"""Calls a function of the API with a client, without a session."""

from kosmolua.gate.functions import resolve
from kosmolua.replicate.structs import decode_arguments


def send(client, name, arguments):
    """Call the function; return the API's answer."""
    operation = resolve(name)
    return client.send(operation, decode_arguments(operation, arguments)).data
