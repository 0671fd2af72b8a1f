"""The facts of each operation: facts that cannot be derived are stated, and contradictions are refused."""

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
    """A new write must state how an interrupted call is found."""
    with pytest.raises(ValueError, match=wrong.name):
        checked((*OPERATIONS, wrong))


def test_every_proof_reads_what_exists_with_arguments_that_the_write_has():
    """A proof names existing reads, and each argument of its read comes from the write."""
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
