"""The comparison of a sent call with the prediction that the API shows."""

import pytest

from kosmolua.gate.likeness import alike, likeness
from kosmolua.replicate.structs import LocalFile


@pytest.mark.parametrize(
    ("given", "shown", "verdict"),
    [
        ({}, {}, "same"),
        ({}, [], "same"),
        ({"a": {}}, {"a": []}, "same"),
        ({"n": 1}, {"n": 1.0}, "same"),
        ({"n": "7"}, {"n": 7}, "same"),
        ({"n": "7.50"}, {"n": 7.5}, "same"),
        ({"n": "9007199254740993"}, {"n": 9007199254740993}, "same"),
        ({"n": "007"}, {"n": 7}, "other"),
        ({"n": "NaN"}, {"n": 7}, "other"),
        ({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}, "same"),
        ({"a": None}, {}, "same"),
        ({}, {"a": None}, "same"),
        ({"a": "x"}, {"a": "y"}, "other"),
        ({"a": True}, {"a": 1}, "other"),
        ({"a": 1}, {"a": True}, "other"),
        ({"a": 1}, {}, "other"),
        ({"a": 1}, {"a": 1, "seed": 7}, "maybe"),
        ({"a": "data:text/plain,x"}, {"a": "https://api.replicate.com/v1/files/x"}, "maybe"),
        ({"a": LocalFile("cat.png")}, {"a": "https://api.replicate.com/v1/files/x"}, "maybe"),
        ({"a": LocalFile("cat.png")}, {"a": 1}, "other"),
        ({"a": "secret"}, {"a": "[REDACTED]"}, "same"),
        ({"a": "secret", "b": 1}, {"a": "[REDACTED]", "b": 2}, "other"),
        ({"a": 5}, {"a": "[REDACTED]"}, "maybe"),
        ({"a": "secret"}, {"a": "******"}, "maybe"),
        ({"a": "https://a/1"}, {"a": "https://a/2"}, "other"),
        ({"a": [1, 2]}, {"a": [1]}, "other"),
        ({"a": "data:x", "b": 1}, {"a": "https://f", "b": 2}, "other"),
        ({"a": b"text"}, {"a": "text"}, "same"),
    ],
)
def test_inputs_are_compared(given, shown, verdict):
    """JSON-equal values and secrets match; values that the API may have moved or added are uncertain."""
    assert verdict == alike(given, shown)


OFFICIAL = {"model_owner": "o", "model_name": "m", "input": {}}
DEPLOYED = {"deployment_owner": "o", "deployment_name": "d", "input": {}}


@pytest.mark.parametrize(
    ("given", "item", "verdict"),
    [
        (OFFICIAL, {"model": "o/m", "version": "hidden"}, "same"),
        (OFFICIAL, {"model": "o/n", "version": "hidden"}, "other"),
        ({"version": "o/m:v1", "input": {}}, {"model": "o/m", "version": "v1"}, "same"),
        ({"version": "o/m:v1", "input": {}}, {"model": "o/m", "version": "v2"}, "other"),
        ({"version": "o/m", "input": {}}, {"model": "o/m", "version": "v2"}, "same"),
        ({"version": "v1", "input": {}}, {"model": "o/m", "version": "v1"}, "same"),
        (DEPLOYED, {"deployment": "o/d", "model": "x/y"}, "same"),
        (DEPLOYED, {"deployment": "o/e", "model": "x/y"}, "other"),
        (DEPLOYED, {"model": "x/y"}, "maybe"),
    ],
)
def test_model_version_and_deployment_are_compared(given, item, verdict):
    """The comparison uses the model, version or deployment that the call named."""
    assert verdict == likeness("prediction", given, {"input": {}, **item})
