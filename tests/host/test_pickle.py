"""Errors and results can cross processes without loss."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

import kosmolua
from kosmolua import ApiError, Caps, Host, KosmoError, Limits, ScriptError, WebhookError
from kosmolua.settings.config import Rule


class MyError(KosmoError):
    """An error type of a program, with its own arguments."""

    def __init__(self, order, *, customer):
        super().__init__(f"order {order} failed", code="usage", hint="look")
        self.order = order
        self.customer = customer


def made(kind):
    """An error of this type, created with its arguments."""
    more = {ApiError: {"status": 404, "title": "t", "invalid_fields": [{"field": "a"}], "retry_after": 1.5}}
    more |= {WebhookError: {"reason": "old"}, ScriptError: {"where": "a.lua:1", "status": 429, "traceback": "x"}}
    error = kind("the message", hint="do this", **more.get(kind, {}))
    error.function = "get_account"
    return error


KINDS = [
    kind
    for name in kosmolua.__all__
    if isinstance(kind := getattr(kosmolua, name), type) and issubclass(kind, KosmoError)
]
ERRORS = [*map(made, KINDS), MyError(7, customer="c")]


def raises(error):
    raise error


def runs(source):
    with Host(emulate=True, isolation="none") as host:
        return host.run(source)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_copied_error_is_equal(error, again):
    """A copied or pickled error has the same type, message, arguments and fields."""
    found = again(error)

    assert (type(error), str(error), error.args, vars(error)) == (type(found), str(found), found.args, vars(found))
    assert error.to_dict() == found.to_dict()
    assert found is not error


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_of_pickle(protocol):
    """An error with its own arguments can be pickled with each protocol."""
    found = pickle.loads(pickle.dumps(made(ApiError), protocol))

    assert (404, "t", "do this") == (found.status, found.title, found.hint)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_errors_and_results_come_out_of_a_pool(method):
    """A process pool returns raised errors, and results with their logs."""
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        for error in ERRORS:
            with pytest.raises(type(error)) as raised:
                pool.submit(raises, error).result(timeout=60)
            found = {name: value for name, value in vars(raised.value).items() if name != "__notes__"}
            assert vars(error) == found
        result = pool.submit(runs, "integrations.replicate.get_account{} error('boom')").result(timeout=60)

    assert ("script_error", "script:1") == (result.error.code, result.error.where)
    assert [("get_account", "ok")] == [(entry.function, entry.outcome) for entry in result.log]


def test_other_public_types_can_be_pickled():
    """Replies, entries, questions, caps and limits can be pickled."""
    with Host(emulate=True, isolation="none") as host:
        reply = host.request("get_account")
    question = kosmolua.Question("f", "a", "write", {"n": 1}, always=Rule("allow", "f", "a", {}))
    for value in (reply, reply.entry, question, Caps(calls=1), Limits(cpu=1.0), runs("return { 1, 'a' }")):
        for found in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert value == found
            assert type(value) is type(found)
