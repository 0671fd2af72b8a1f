"""Facts about operations that cannot be derived are stated, and contradictions are refused."""

import msgspec
import pytest

from kosmolua.replicate import catalogue
from kosmolua.replicate.catalogue import OPERATIONS, Proof, checked


def changed(name, **facts):
    return msgspec.structs.replace(catalogue.BY_NAME[name], **facts)


@pytest.mark.parametrize(
    "wrong",
    [
        changed("create_prediction", proof=None),
        changed("get_prediction", proof=Proof("repeat")),
        changed("create_file", lane=""),
        changed("delete_file", lane="create"),
        changed("get_default_webhook_secret", placeholder=None),
    ],
    ids=lambda operation: operation.name,
)
def test_an_operation_with_missing_or_contradicting_facts_is_refused(wrong):
    """A new write, for example, must state how an interrupted call can be found."""
    with pytest.raises(ValueError, match=wrong.name):
        checked((*OPERATIONS, wrong))


def test_every_proof_uses_existing_reads_and_arguments_of_the_write():
    """A proof names existing reads, and each argument of such a read comes from the write."""
    for operation in OPERATIONS:
        proof = operation.proof
        if proof is None:
            continue
        given = {parameter.name for parameter in operation.parameters}
        shows = [catalogue.BY_NAME[name] for name in (proof.read, proof.list) if name]

        assert {"read"} >= {one.access for one in shows}
        if proof.how in {"gone", "named", "released"} and proof.read:
            needed = {one.name for one in shows[0].parameters if one.required}
            assert {proof.place.get(name, name) for name in needed} <= given
