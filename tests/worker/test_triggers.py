"""Triggers: who may start a run with a request, the script's arguments, and refusals."""

import hmac
import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from fleet import Fleet
from receiving import Receiving, signed
from waiting import scaled, wait_until

from kosmolua.cli import main
from kosmolua.gate.budget import Caps
from kosmolua.journal.records import Head
from kosmolua.serve.bounds import Buckets, Rate, Refusal, Slots
from kosmolua.worker import runs, triggers

HEAD = Head(script="/flows/order.lua", source=b"return args", account="work")
MIB = 1024 * 1024


@pytest.fixture
def serving(database):
    with Receiving(database, None).serving() as serving:
        yield serving


@pytest.fixture
def post(serving):
    """Send a request to a trigger."""
    with httpx.Client(timeout=scaled(30)) as client:

        def post(name, secret=None, content=b"{}", **headers):
            named = {key.replace("_", "-"): value for key, value in headers.items()}
            sent = {**({} if secret is None else {"authorization": f"Bearer {secret}"}), **named}
            return client.post(f"{serving.url}/trigger/{name}", content=content, headers=sent)

        yield post


def test_a_request_starts_a_run(database, post):
    """The run has the trigger's account, budget and owner; without a delivery id each request is a new run."""
    secret = triggers.add(database, "orders", HEAD, caps=Caps(predictions=5), by="ada")
    first, second = post("orders", secret), post("orders", secret)

    assert (202, True) == (first.status_code, first.json()["new"])
    assert first.json()["run"] != second.json()["run"]
    run = runs.find(database, first.json()["run"])
    assert ("work", "/flows/order.lua", "ada", None) == (run.account, run.script, run.submitted_by, run.key)
    (one,) = triggers.listed(database)
    assert (2, second.json()["run"], "ready") == (one.runs, one.last_run, one.last_state)


def test_the_list_of_runs_omits_long_bodies(database, post):
    """A thousand long bodies would not fit into memory; a single run is shown with its body."""
    secret = triggers.add(database, "orders", HEAD)
    run = post("orders", secret, b"x" * 100_000).json()["run"]

    assert [(["(long)"], "trigger:orders")] == [(one.args, one.started_by) for one in runs.listed(database)]
    assert 100_000 < len(runs.find(database, run).args[0])


def test_only_the_digest_of_a_secret_is_stored(database):
    """The table contains nothing that could be used in a request."""
    secret = triggers.add(database, "orders", HEAD)
    ((row,),) = database.rows("SELECT t::text FROM triggers t")

    assert secret not in row
    assert len(secret) > 40
    assert secret != triggers.add(database, "orders", HEAD, replace=True)


def test_the_arguments_of_the_script(url, tmp_path):
    """The script gets body, JSON, headers, query and id as named arguments, without a secret."""
    source = b"return args.body, args.json and args.json.n, args.headers, args.query, args.id, args.trigger, args[1]"
    with Fleet(url, tmp_path).serving() as fleet, Receiving(fleet.database, None).serving() as serving:
        secret = triggers.add(fleet.database, "orders", Head(script="o.lua", source=source))
        fleet.start()
        headers = {
            "authorization": f"Bearer {secret}",
            "content-type": "application/json; charset=utf-8",
            "webhook-id": "order-4711",
            "x-shop": "berlin",
            "cookie": "a=b",
            "x-api-key": "k",
            "x-gitlab-token": "t",
            "x-copy": f"it is {secret}",
        }
        body = '{"n": [1, "ü", {"deep": true}]}'.encode()
        path = f"{serving.url}/trigger/orders?a=1&b={secret}"
        run = httpx.post(path, content=body, headers=headers).json()["run"]
        wait_until(lambda: runs.find(fleet.database, run).state == "done")

        text, decoded, seen, query, delivery, trigger, *_ = runs.find(fleet.database, run).results
        assert (body.decode(), [1, "ü", {"deep": True}]) == (text, decoded)
        assert ({"a": "1"}, "order-4711", "orders") == (query, delivery, trigger)
        assert {"content-type", "webhook-id", "x-shop", "host", "content-length"} <= set(seen)
        assert not {"authorization", "cookie", "x-api-key", "x-gitlab-token", "x-copy"} & set(seen)
        assert secret not in json.dumps(runs.find(fleet.database, run).results)


@pytest.mark.parametrize(
    ("kind", "body", "decoded"),
    [
        ("application/json", b'{"a":1}', {"a": 1}),
        ("application/cloudevents+json", b"[1]", [1]),
        ("text/plain", b'{"a":1}', None),
        ("application/json", b"{", None),
        ("application/json", b"[" * 5000, None),
        ("application/json", b"9" * 40, None),
        ("application/json", b'"\\u0000"', "\0"),
    ],
)
def test_json_bodies(kind, body, decoded):
    """JSON is decoded if nothing is lost; the text is always available."""
    request = triggers.Request(trigger="t", body=body.decode(), headers={"content-type": kind}, query={})
    named = triggers.named_of([msgspec.json.encode(request).decode()])

    assert (body.decode(), decoded) == (named["body"], named.get("json"))


def test_a_delivery_starts_one_run(database, post):
    """A delivery that is repeated, concurrent, changed, or sent under another header gives the same run."""
    secret = triggers.add(database, "orders", HEAD)
    triggers.add(database, "others", HEAD)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: post("orders", secret, b"%d" % n, webhook_id="d-1"), range(16)))

    assert 1 == len({each.json()["run"] for each in answers}) == len(runs.listed(database))
    assert [200] * 15 + [202] == sorted(each.status_code for each in answers)
    assert answers[0].json()["run"] == post("orders", secret, x_github_delivery="d-1").json()["run"]
    assert post("orders", secret, idempotency_key="d-2").json()["new"]
    assert "trigger:orders:d-1" == runs.find(database, answers[0].json()["run"]).key


def test_invalid_secrets(database, post, serving):
    """All are refused in the same way, also for unknown triggers; after ten refusals an address has to wait."""
    secret = triggers.add(database, "orders", HEAD)
    signing = triggers.add(database, "hooks", HEAD, signed=True)
    wrong = [
        post("orders"),
        post("orders", "x"),
        post("orders", secret[:-1]),
        post("orders", secret.upper()),
        post("unknown", secret),
        post("hooks", signing),
        post("orders", x_hub_signature_256="sha256=" + "0" * 64),
        post("a..b", secret),
        post("orders", f"{secret} {secret}"),
        post("orders", "x" * 5000),
    ]

    assert [401] * 10 == [each.status_code for each in wrong]
    assert 1 == len({each.text for each in wrong})
    assert "Bearer" == wrong[0].headers["www-authenticate"]
    limited = wait_until(lambda: next((one for one in [post("orders", "x")] if one.status_code == 429), None))
    assert 1 <= int(limited.headers["retry-after"]) <= 6
    assert 10 <= serving.counted["unauthorized"]
    assert 202 == post("orders", secret, x_forwarded_for="192.0.2.7").status_code  # as named by a proxy
    database.rows("DELETE FROM runs")
    assert [] == runs.listed(database)


def test_signed_requests(database, post):
    """Signatures are accepted as in Standard Webhooks, within five minutes, or as by GitHub."""
    secret = triggers.add(database, "hooks", HEAD, signed=True)
    body = b'{"ref": "main"}'
    github = "sha256=" + hmac.new(secret.encode(), body, "sha256").hexdigest()
    answers = [
        post("hooks", None, body, **signed(secret, body, "m-1", time.time())),
        post("hooks", None, body, **signed(secret, body, "m-1", time.time())),
        post("hooks", None, body, x_hub_signature_256=github, x_github_delivery="g-1"),
        post("hooks", None, body + b" ", x_hub_signature_256=github),
        post("hooks", None, body, **signed(secret, body, "m-2", time.time() - 86_400)),
        post("hooks", None, body, **signed("whsec_" + "A" * 44, body, "m-3", time.time())),
    ]

    assert [202, 200, 202, 401, 401, 401] == [each.status_code for each in answers]
    assert 2 == len(runs.listed(database))


@pytest.mark.parametrize("known", [True, False])
def test_long_bodies(known, database, serving):
    """A body of ten megabytes is refused with 413, with a length or in chunks; one mebibyte is accepted."""
    secret = triggers.add(database, "orders", HEAD)
    headers = {"authorization": f"Bearer {secret}"}

    def send(size, headers=headers):
        content = b"x" * size if known else (b"x" * 65_536 for _ in range(size // 65_536))
        return httpx.post(f"{serving.url}/trigger/orders", content=content, headers=headers)

    long = send(10 * MIB)
    assert (413, {"error": f"the body is longer than {MIB} bytes"}) == (long.status_code, long.json())
    assert [401] * 3 == [send(10 * MIB, {}).status_code for _ in range(3)]
    assert 202 == send(MIB).status_code
    assert 1 == len(runs.listed(database))


def test_a_body_is_not_read_before_the_secret_is_checked(database, serving):
    """Ten megabytes from a stranger are refused before they are sent."""
    triggers.add(database, "orders", HEAD)
    where = urlsplit(serving.url)
    with socket.create_connection((where.hostname, where.port), timeout=20) as raw:
        raw.sendall(b"POST /trigger/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 10485760\r\n\r\n")
        assert raw.recv(12).endswith(b"401")


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"\xff\xfe", {}, 415),
        (b"", {}, 202),
        (b"{}", {"webhook_id": "x" * 201}, 400),
        (b"{}", {"webhook_id": "a b"}, 400),
    ],
)
def test_odd_requests(content, headers, status, database, post):
    """Bytes that are not text and invalid delivery ids are refused, and an empty body is accepted."""
    secret = triggers.add(database, "orders", HEAD)

    assert status == post("orders", secret, content, **headers).status_code


def test_the_rate_of_requests_is_limited(database, post, serving):
    """A hundred requests are accepted at once, then fifty a second; the other senders are asked to retry later."""
    secret = triggers.add(database, "orders", HEAD)
    began = time.monotonic()
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: post("orders", secret), range(400)))
    most = 101 + 50 * (time.monotonic() - began)
    codes = [each.status_code for each in answers]

    assert {202, 429} == {*codes, 429}
    assert codes.count(202) <= most
    assert 429 in codes or len(codes) <= most  # on a busy machine they may be sent slowly enough
    assert codes.count(202) == len(runs.listed(database))
    assert all("retry-after" in each.headers for each in answers if each.status_code == 429)


def test_a_full_queue(database):
    """The number of waiting runs is limited."""
    secret = triggers.add(database, "orders", HEAD)
    with Receiving(database, None, queue=3).serving() as serving:
        headers = {"authorization": f"Bearer {secret}"}
        codes = [httpx.post(f"{serving.url}/trigger/orders", headers=headers).status_code for _ in range(5)]
        assert [202, 202, 202, 429, 429] == codes
        database.rows("UPDATE runs SET state = 'done'")
        assert 202 == httpx.post(f"{serving.url}/trigger/orders", headers=headers).status_code


def test_the_number_of_connections_is_limited(database, serving, post):
    """If sixty-four slow senders occupy the server, one more is refused, and the slow ones are ended after a while."""
    secret = triggers.add(database, "orders", HEAD)
    where = urlsplit(serving.url)
    head = f"POST /trigger/orders HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\nContent-Length: 9\r\n\r\n"
    slow = [socket.create_connection((where.hostname, where.port), timeout=30) for _ in range(32)]
    for each in slow:
        each.sendall(head.encode())
    wait_until(lambda: post("orders", secret).status_code == 429)
    for each in slow[:16]:
        each.close()
    wait_until(lambda: post("orders", secret).status_code == 202)
    for each in slow[16:]:
        assert each.recv(12).endswith(b"408")
        each.close()


def test_slots():
    """The number of slots is limited for each address and in total, and leaving frees a slot."""
    slots = Slots(3, 2)
    with slots.one("a"), slots.one("a"):
        with pytest.raises(Refusal, match="too many"), slots.one("a"):
            pass
        with slots.one("b"), pytest.raises(Refusal, match="too many"), slots.one("c"):
            pass
    with slots.one("a"), slots.one("a"), slots.one("c"):
        assert {"a": 2, "c": 1} == slots._taken


def test_paths_and_headers(serving):
    """An unknown path gives 404, and another method 405; answers are not cached and do not name the server."""
    answers = [
        httpx.get(f"{serving.url}{path}") for path in ("/", "/trigger/x", "/replicate/default", "/healthz", "/docs")
    ]

    assert [404, 405, 405, 200, 404] == [each.status_code for each in answers]
    for each in answers:
        assert ("nosniff", "no-store") == (each.headers["x-content-type-options"], each.headers["cache-control"])
        assert "application/json" == each.headers["content-type"]


def test_buckets():
    """A bucket allows a burst at once and one more request per period; the number of keys is limited."""
    now = [0.0]
    buckets = Buckets(Rate(3, 2.0), lambda: now[0])
    taken = [buckets.take("a") for _ in range(4)]
    now[0] = 2.0

    assert [0, 0, 0, 2.0] == taken
    assert [0, 2.0, 0] == [buckets.take("a"), buckets.take("a"), buckets.take("b")]
    for number in range(20_000):
        buckets.take(f"{number}")
    assert 10_000 == len(buckets._full)


# Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def kosmo(url, database, capsys, monkeypatch):
    monkeypatch.setenv("KOSMO_DATABASE", url)

    def kosmo(*words):
        status = main([*words])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return kosmo


def test_commands(kosmo, tmp_path):
    """Triggers can be added, listed and removed; the secret is shown once."""
    (tmp_path / "f.lua").write_text("return 1\n")
    status, out, err = kosmo("triggers", "add", "orders", str(tmp_path / "f.lua"), "--max-predictions", "2")
    assert 0 == status
    assert re.fullmatch(r"kst_\S+\n", out)
    assert "trigger orders: POST /trigger/orders; its secret follows on standard output and is not shown again\n" == err
    assert 2 == kosmo("triggers", "add", "orders", str(tmp_path / "f.lua"))[0]
    again = json.loads(
        kosmo("triggers", "add", "orders", str(tmp_path / "f.lua"), "--replace", "--signed", "--json")[1]
    )
    assert again["secret"].startswith("whsec_")
    listed = kosmo("triggers", "list")[1]
    assert "orders  signatures" in listed
    assert again["secret"] not in kosmo("triggers", "list", "--json")[1]
    assert (0, "orders: removed\n", "") == kosmo("triggers", "remove", "orders")
    assert "no triggers; to add one" in kosmo("triggers", "list")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["triggers", "add", "orders"], "add: expected NAME FILE, got 1 words"),
        (["triggers", "add", "a/b", "FILE"], "invalid name 'a/b'"),
        (["triggers", "add", "orders", "missing.lua"], "cannot read"),
        (["triggers", "remove", "orders"], "no trigger 'orders'"),
        (["triggers", "list", "x"], "list: expected no name"),
        (["webhooks:serve", "--port", "x"], "--port"),
        (["webhooks:serve", "--accounts", "a,"], "--accounts: expected names separated by commas"),
        (["webhooks:serve", "--dry-run"], "--dry-run"),
        (["webhooks:serve", "--proxy", "caddy"], "--proxy: expected an address or a network, such as 10.0.0.7"),
        (["webhooks:serve", "--database", "mysql://x"], "postgresql://"),
    ],
)
def test_usage_errors(kosmo, tmp_path, words, said):
    """Invalid arguments are usage errors with a hint."""
    (tmp_path / "f.lua").write_text("return 1\n")
    status, _, err = kosmo(*[str(tmp_path / "f.lua") if word == "FILE" else word for word in words])

    assert 2 == status
    assert said in err
    assert "hint:" in err or "--help" in err


def test_an_address_in_use(kosmo):
    """The error names the address and says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, _, err = kosmo("webhooks:serve", "--port", f"{taken.getsockname()[1]}")

    assert 4 == status
    assert "cannot listen on 127.0.0.1" in err
    assert "--port 0 picks a free one" in err


def test_the_signed_delivery_id_counts(database, serving):
    """A delivery cannot be sent again with another id in an unsigned header that looks the same."""
    secret = triggers.add(database, "hooks", HEAD, signed=True)
    sent = signed(secret, b"{}", "m-1", time.time())
    first = httpx.post(f"{serving.url}/trigger/hooks", content=b"{}", headers=sent)
    pairs = [("HTTP-webhook-id", "m-1"), ("HTTP_webhook-id", "m-1"), *sent.items()]
    changed = [(name, "m-2" if name == "webhook-id" else value) for name, value in pairs]
    again = httpx.post(f"{serving.url}/trigger/hooks", content=b"{}", headers=changed)

    assert (202, 200) == (first.status_code, again.status_code)
    assert [first.json()["run"]] == [run.id for run in runs.listed(database)]
