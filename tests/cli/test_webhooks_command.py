"""`kosmo webhooks:verify` reads the body from standard input, and never takes the secret from the command line."""

import base64
import hmac
import json
import time

import pytest
from recording_server import Answer
from waiting import wait_until

KEY = b"0123456789abcdefghijklmn"
SECRET = "whsec_" + base64.b64encode(KEY).decode()
BODY = b'{"id": "p", "status": "succeeded"}'


def signed(stamp, body=BODY):
    text = f"msg_1.{stamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(KEY, text, 'sha256')).decode()}"


@pytest.fixture
def arguments():
    """The flags for a valid webhook that was just sent."""
    stamp = int(time.time())
    return ["--id", "msg_1", "--timestamp", str(stamp), "--signature", signed(stamp)]


@pytest.fixture
def verify(kosmo):
    """Verifies the body with the secret in an environment variable."""

    def run(*argv, stdin=BODY, **options):
        return kosmo(
            "webhooks:verify", *argv, "--secret-env", "HOOK_SECRET", stdin=stdin, env={"HOOK_SECRET": SECRET}, **options
        )

    return run


def test_a_valid_webhook(verify, arguments):
    """A valid webhook gives status 0."""
    assert (0, "msg_1: signed\n", "") == verify(*arguments).seen


def test_the_answer_as_json(verify, arguments):
    """With --json the answer is one object with the id and the time."""
    ran = verify(*arguments, "--json")

    assert (0, {"success": True, "id": "msg_1", "timestamp": int(arguments[3])}) == (ran.status, ran.json)


@pytest.mark.parametrize(
    ("changed", "body", "reason", "message"),
    [
        ({}, BODY + b" ", "signature", "no signature matches"),
        ({"--id": "msg_2"}, BODY, "signature", "no signature matches"),
        ({"--signature": "v9,AAAA"}, BODY, "malformed", "no signature of version v1"),
        ({"--timestamp": "1700000000", "--signature": signed(1700000000)}, BODY, "old", "the webhook is signed, but "),
        ({"--timestamp": "9900000000", "--signature": signed(9900000000)}, BODY, "future", "ahead of this clock"),
        ({"--timestamp": "now"}, BODY, "malformed", "expected Unix seconds"),
        ({}, b"", "signature", "no signature matches"),
    ],
)
def test_an_invalid_webhook(changed, body, reason, message, verify, arguments):
    """The reason why a webhook is invalid is printed, and the status is 1."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=True)) | changed
    argv = [word for pair in given.items() for word in pair]
    ran, as_json = verify(*argv, stdin=body), verify(*argv, "--json", stdin=body)

    assert (1, "") == (ran.status, ran.out)
    assert message in ran.err
    assert (1, False, "webhook_refused") == (as_json.status, as_json.json["success"], as_json.json["code"])
    assert {"reason": reason} == as_json.json["meta"]["detail"]


def test_an_old_webhook_is_valid_with_a_longer_tolerance(verify):
    """With a longer tolerance an old webhook is valid."""
    argv = ["--id", "msg_1", "--timestamp", "1700000000", "--signature", signed(1700000000)]

    assert 0 == verify(*argv, "--tolerance", "1e12").status


def test_headers_from_a_file(verify, arguments, tmp_path):
    """All three headers can be read from a saved request head; a flag overrides its header."""
    head = f"POST /hook HTTP/1.1\r\nHost: a:80\r\nWebhook-Id: msg_1\r\nWEBHOOK-TIMESTAMP:{arguments[3]}\r\n"
    (tmp_path / "head").write_text(f"{head}webhook-signature:  {arguments[5]}  \r\n\r\n", newline="")

    assert 0 == verify("--headers", "head").status
    assert 1 == verify("--headers", "head", "--id", "msg_2").status


def test_missing_headers(verify, arguments, tmp_path):
    """A header missing in the file makes the webhook invalid; a missing flag is a usage error."""
    (tmp_path / "head").write_text("webhook-id: msg_1\n")
    file, flags = verify("--headers", "head"), verify(*arguments[:2])

    assert (1, True) == (file.status, "the header webhook-timestamp is missing" in file.err)
    assert (2, True) == (flags.status, "missing --timestamp, --signature" in flags.err)


def test_a_secret_in_a_file(kosmo, arguments, tmp_path):
    """The line end of a file is not part of the secret."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")

    assert 0 == kosmo("webhooks:verify", *arguments, "--secret-file", "secret", stdin=BODY).status


def test_the_secret_is_requested_from_the_account(live, server, arguments):
    """Without a given secret, the secret is requested from the API with the account's token."""
    server.default = Answer(body=json.dumps({"key": SECRET}).encode())
    ran = live("webhooks:verify", *arguments, stdin=BODY)

    assert (0, "msg_1: signed\n", "") == ran.seen
    assert ["/v1/webhooks/default/secret"] == [request.target for request in server.requests]


@pytest.mark.parametrize(
    "argv",
    [["--secret", SECRET], [f"--secret={SECRET}"], ["--secret=of another form"], [SECRET], ["--secret-env", SECRET]],
)
def test_a_secret_as_an_argument(argv, kosmo, arguments):
    """A secret as an argument is refused with the reason, and is not repeated in the error."""
    ran = kosmo("webhooks:verify", *arguments, *argv, stdin=BODY)

    assert (2, "") == (ran.status, ran.out)
    assert "a secret cannot be an argument: other users of this machine could read it" in ran.err
    assert "--secret-env NAME or --secret-file FILE" in ran.err
    assert SECRET[6:] not in ran.err


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["--secret-env", "NOT_SET"], 4, "--secret-env: this environment variable is not set"),
        (["--secret-file", "nosuch"], 2, "cannot read 'nosuch'"),
        (["--secret-file", "odd"], 4, "(it is not shown here)"),
        (["--secret-file", "odd", "--secret-env", "HOME"], 2, "cannot be combined"),
        (["--headers", "nosuch", "--secret-env", "HOME"], 2, "cannot read 'nosuch'"),
        (["--tolerance", "-1"], 2, "expected a number of seconds above 0"),
        (["--dry-run"], 2, "--dry-run cannot ask the API for the secret"),
        ([], 4, "no API token"),
    ],
)
def test_a_missing_or_invalid_secret(argv, status, message, kosmo, arguments, tmp_path):
    """A missing or invalid secret and an invalid flag are reported without showing the secret."""
    (tmp_path / "odd").write_text("hunter2hunter2")
    ran = kosmo("webhooks:verify", *arguments, *argv, stdin=BODY)

    assert (status, "") == (ran.status, ran.out)
    assert message in ran.err
    assert "hunter2" not in ran.err


def test_a_body_from_a_terminal_is_refused(arguments):
    """If standard input is a terminal, the error says that the body is missing there."""
    import os
    import pty
    import subprocess
    import sys

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "kosmolua", "webhooks:verify", *arguments, "--secret-env", "HOOK_SECRET"]
    ran = subprocess.run(
        command, stdin=theirs, capture_output=True, text=True, check=False, env={**os.environ, "HOOK_SECRET": SECRET}
    )
    os.close(ours)
    os.close(theirs)

    assert 2 == ran.returncode
    assert "missing body on standard input" in ran.stderr


def test_a_webhook_of_the_emulator_is_verified(kosmo, server):
    """The webhook of an emulated prediction can be verified with commands only."""
    from kosmolua.emulator import Emulator, running

    with running(Emulator()) as url:
        environment = {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_any"}
        create = ["integrations:replicate", "create_prediction", "--write", "allow", "--prefer", "wait"]
        what = {"version": "meta/meta-llama-3-8b-instruct", "input": {"prompt": "x", "max_tokens": 5}}
        hook = {"webhook": f"http://127.0.0.1:{server.port}/", "webhook_events_filter": ["completed"]}
        made = kosmo(*create, json.dumps({**what, **hook}), env=environment)
        (request,) = wait_until(lambda: server.requests)
        flags = [word for name in ("id", "timestamp", "signature")
                 for word in (f"--{name}", request.headers[f"webhook-{name}"])]  # fmt: skip
        ran = kosmo("webhooks:verify", *flags, stdin=request.body, env=environment)

    assert (0, "") == (made.status, made.err)
    assert (0, f"{request.headers['webhook-id']}: signed\n", "") == ran.seen


def test_a_waiting_command_has_sent_its_webhook(kosmo, server):
    """A command that waits for its prediction has sent the webhook when the command ends."""
    hook = f"http://127.0.0.1:{server.port}/"
    create = ["integrations:replicate", "create_model_prediction", "--emulate", "--prefer", "wait"]
    model = ["--model-owner", "meta", "--model-name", "meta-llama-3-8b-instruct", "--input.prompt", "x"]
    ran = kosmo(*create, *model, "--input.max_tokens", "5", "--webhook", hook, "--webhook-events-filter", "completed")

    assert (0, "") == (ran.status, ran.err)
    assert ["succeeded"] == [json.loads(request.body)["status"] for request in server.requests]


def test_a_script_sends_no_webhook(kosmo, server):
    """Scripts have no network access, so an emulator inside the run does not send webhooks to them."""
    source = f"""return integrations.replicate.create_model_prediction{{
      model_owner = "meta", model_name = "meta-llama-3-8b-instruct", prefer = "wait",
      input = {{ prompt = "x", max_tokens = 5 }}, webhook = "http://127.0.0.1:{server.port}/",
    }}.status"""
    ran = kosmo("lua", "--emulate", "--eval", source)

    assert ((0, "succeeded\n", ""), []) == (ran.seen, server.requests)
