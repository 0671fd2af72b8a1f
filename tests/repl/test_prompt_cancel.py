"""`:cancel` cancels jobs at the prompt."""

import threading

from recording_server import Answer
from waiting import wait_until

CREATE = "integrations.replicate.create_prediction{ version = 'v', input = {} }"


def test_running_jobs_are_canceled(prompt, server):
    """All running jobs are canceled, regardless of the policy; failures are reported with the reason."""
    shell = prompt()
    assert "nothing started by this session is running" in shell(":cancel")
    server.answers.extend(Answer(201, b'{"id": "%s", "status": "starting"}' % name) for name in (b"p1", b"p2"))
    shell(CREATE, CREATE)
    shell(":policy write deny")
    server.answers.extend([Answer(200, b'{"id": "p1", "status": "canceled"}'), Answer(404, b'{"detail": "gone"}')])
    shown = shell(":cancel")

    assert "canceled prediction p1\nprediction p2: " in shown
    assert "gone" in shown
    assert ["/v1/predictions/p1/cancel", "/v1/predictions/p2/cancel"] == [each.target for each in server.requests[2:]]
    assert "p1" not in shell(":cancel")


def test_an_interrupted_create_is_reported(prompt, server):
    """An interrupted create may be executed and paid for; :cancel ends it after its answer."""
    shell = prompt()
    held, go_on = threading.Event(), threading.Event()
    ask = shell.shell.interpreter._port._handler

    def slowly(*words):
        with shell.shell.calls._tracked(words[0]):
            held.set()
            go_on.wait(10)
            return ask(*words)

    shell.shell.interpreter._port._handler = slowly
    shown = shell.interrupted(CREATE, held.is_set)
    assert "create_prediction is still in flight and may cost; after the answer: :cancel" in shown
    assert "create_prediction is still in flight; try again after the answer" in shell(":cancel")
    go_on.set()
    wait_until(lambda: not shell.shell.calls.creating())

    assert "canceled prediction p" in shell(":cancel")


def test_cancel_takes_no_argument(prompt):
    """A single prediction is canceled with its own function."""
    assert "cancel_prediction{ prediction_id = ID }" in prompt()(":cancel p1")
