"""A call of a function by a client, without a session around it."""

from kosmolua.gate.functions import resolve
from kosmolua.replicate.structs import decode_arguments


def send(client, name, arguments):
    """What the API answered."""
    operation = resolve(name)
    return client.send(operation, decode_arguments(operation, arguments)).data
