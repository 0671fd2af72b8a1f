"""Only the valid answers of a prompter allow a call."""

import enum
import functools
import warnings

import pytest

from kosmolua import AnswerError, Host, OptionError, PermissionDeniedError

CREATE = "integrations.replicate.create_prediction{ version = 'v', input = {} }"
ARGUMENTS = {"version": "v", "input": {}}


class Says:
    """A prompter that always gives the same answer."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def ask(self, question):
        self.asked += 1
        return self.answer


class Agreeable:
    """An object that equals everything it is compared with."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return hash("once")


async def later():
    return "once"


def stepwise():
    yield "once"


WRONG = [
    *[False, True, 0, 1, "", "No", "Once", " once", "yes", "y", "deny", "allow", b"once", 1.0, [], ["once"], {}],
    *[object(), Agreeable(), later, stepwise, Says, NotImplemented, ...],
]


@pytest.mark.parametrize("answer", WRONG, ids=lambda answer: type(answer).__name__)
def test_any_other_answer_refuses(answer, live, server):
    """The call is recorded as refused, nothing is sent, and the prompter's owner gets a TypeError."""
    told = []
    prompter = Says(answer)
    host = live(isolation="none", prompter=prompter, on_call=told.append)
    with pytest.raises(TypeError, match="create_prediction: refused, because the prompter answered") as raised:
        host.call("create_prediction", ARGUMENTS)

    assert isinstance(raised.value, PermissionDeniedError)
    assert [] == server.requests
    assert [("refused", "permission_denied")] == [(entry.outcome, entry.code) for entry in told]


@pytest.mark.parametrize("make", [later, stepwise], ids=["coroutine", "generator"])
def test_a_deferred_answer_refuses(make, live, server):
    """A coroutine or generator is not an answer, and causes no warning that it was never awaited."""
    host = live(isolation="none", prompter=Says(make()))
    with warnings.catch_warnings(record=True) as warned, pytest.raises(AnswerError):
        host.call("create_prediction", ARGUMENTS)

    assert [] == warned
    assert [] == server.requests


@pytest.mark.parametrize("isolation", ["standard", "none"])
def test_a_script_continues_after_a_refusal(isolation, live, server):
    """The script continues with a permission error; the caller gets the TypeError after the result. An invalid answer
    is not remembered.
    """
    prompter = Says(answer=True)
    host = live(isolation=isolation, prompter=prompter)
    run = host.script(
        f"local function try() return select(2, pcall(function() return {CREATE} end)).code end return try(), try()"
    )
    with pytest.raises(TypeError, match="answered True"):
        run.result()

    assert ["permission_denied"] * 2 == run.outcome.results
    assert ["refused"] * 2 == [entry.outcome for entry in run.outcome.log]
    assert [] == server.requests
    assert 2 == prompter.asked
    assert {"id": "made"} == host.call("get_account")  # the host continues


def test_a_prompter_that_fails_refuses(live, server):
    """An exception refuses the call, and the run raises it at the end; for a direct call it is the error's cause."""

    class Broken:
        def ask(self, question):
            raise ValueError("no window")

    host = live(prompter=Broken())
    run = host.script(f"local _, e = pcall(function() return {CREATE} end) return e.code")
    with pytest.raises(ValueError, match="no window"):
        run.result()
    with pytest.raises(PermissionDeniedError, match="the prompter failed: ValueError: no window") as raised:
        host.call("create_prediction", ARGUMENTS)

    assert "permission_denied" == run.outcome.value
    assert isinstance(raised.value.__cause__, ValueError)
    assert [] == server.requests


class Word(enum.StrEnum):
    ONCE = "once"


@pytest.mark.parametrize(
    ("answer", "sent"),
    [("once", 1), ("run", 1), ("always", 1), (Word.ONCE, 1), ("no", 0), (None, 0)],
)
def test_the_documented_answers(answer, sent, live, server):
    """Three words allow, one refuses, and None means that nobody can be asked."""
    host = live(isolation="none", prompter=Says(answer))
    if sent:
        host.call("create_prediction", ARGUMENTS)
    else:
        with pytest.raises(PermissionDeniedError):
            host.call("create_prediction", ARGUMENTS)

    assert sent == len(server.requests)


class Async:
    async def ask(self, question):
        return "no"


class AsyncCall:
    async def __call__(self, question):
        return "no"


class Yields:
    def ask(self, question):
        yield "no"


def holding(function):
    """An object with this function as its `ask`."""
    made = Says("no")
    made.ask = function
    return made


@pytest.mark.parametrize(
    "prompter",
    [Async(), Yields(), holding(AsyncCall()), holding(Async().ask), holding(functools.partial(Async().ask))],
    ids=["async", "generator", "async call", "bound", "partial"],
)
def test_an_async_prompter_is_refused_at_once(prompter):
    """An async prompter is refused when the host, or a run with its own prompter, is created."""
    with pytest.raises(OptionError, match="prompter: expected a plain function `ask`"):
        Host(emulate=True, isolation="none", prompter=prompter)
    with Host(emulate=True, isolation="none") as host, pytest.raises(TypeError, match="prompter"):
        host.script("return 1", prompter=prompter)


@pytest.mark.parametrize("prompter", ["x", 1, Says, lambda _: "once", {"ask": "once"}])
def test_a_prompter_needs_a_method_ask(prompter):
    """Objects without such a method are refused when the host is created."""
    with pytest.raises(TypeError, match=r"prompter: expected an object with a method `ask\(question\)`, or None"):
        Host(emulate=True, isolation="none", prompter=prompter)


def test_a_question_about_a_price_accepts_the_same_answers(tmp_path, live, server):
    """The question for a model without a known price accepts the same words, and any other answer refuses."""
    from kosmolua import Caps

    host = live(isolation="none", write="allow", caps=Caps(cost=1.0), prompter=Says("ok"))
    with pytest.raises(TypeError, match="answered 'ok'"):
        host.call("create_prediction", ARGUMENTS)

    assert [] == server.requests
