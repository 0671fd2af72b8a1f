"""Access to the console: hosts, origins, form tokens, secrets, roles, and the rate of login attempts."""

import re
import socket

import httpx
import pytest

from kosmolua.console.access import BURST, IDLE, LIFETIME, Attempts, Secret, Sessions, matching, network_of
from kosmolua.console.app import HEADERS
from kosmolua.console.requests import is_loopback, local_path
from kosmolua.worker import runs

APPROVE, READ = "approve-secret-of-alice", "read-secret-of-anybody"


class Visitor:
    """A client that sends the headers of a browser."""

    def __init__(self, url):
        self.url = url
        self.client = httpx.Client(base_url=url, follow_redirects=False, trust_env=False, timeout=30)

    def get(self, path, **headers):
        return self.client.get(path, headers=headers)

    def post(self, path, fields, **headers):
        sent = {"origin": self.url, "sec-fetch-site": "same-origin", **headers}
        return self.client.post(path, data=fields, headers={name: value for name, value in sent.items() if value})

    def token(self, path):
        return re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)[1]

    def sign_in(self, secret):
        return self.post("/login", {"csrf": self.token("/login"), "next": "/", "secret": secret})


@pytest.fixture
def visitor():
    made = []

    def visit(console):
        made.append(Visitor(console.url))
        return made[-1]

    yield visit
    for each in made:
        each.client.close()


@pytest.fixture
def secrets(tmp_path):
    file = tmp_path / "secrets"
    file.write_text(f"# who may do what\napprove alice {APPROVE}\nread {READ}\n")
    file.chmod(0o600)
    return str(file)


def state_of(database, run):
    return runs.find(database, run).state


# This machine, without a login ------------------------------------------------------------------------------------


def test_this_machine_needs_no_login(process, visitor, database, submitted):
    """A form of the console cancels a run, and the log names the canceled run."""
    run, console = submitted(), process()
    one = visitor(console)

    answer = one.post(f"/runs/{run}/cancel", {"csrf": one.token(f"/runs/{run}")})
    assert (303, f"/runs/{run}?said=canceled") == (answer.status_code, answer.headers["location"])
    assert "canceled" == state_of(database, run)
    assert f"canceled run {run}" in console.log()

    assert 303 == one.post(f"/runs/{run}/resume", {"csrf": one.token(f"/runs/{run}")}).status_code
    assert "ready" == state_of(database, run)
    assert 143 == console.stop()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"host": "evil.test"}, 421),  # DNS rebinding: another name for this address
        ({"host": "localhost.evil.test"}, 421),
        ({"host": "127.0.0.1.evil.test:80"}, 421),
        ({"x-forwarded-for": "203.0.113.9"}, 403),
        ({"forwarded": "for=203.0.113.9"}, 403),
        ({"host": "localhost"}, 200),
    ],
)
def test_other_names_and_proxies(served, visitor, changes, status):
    """Without a login, only requests to loopback names are served, and no forwarded requests."""
    assert status == visitor(served()).get("/", **changes).status_code


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "https://evil.test", "sec-fetch-site": "cross-site"}, 403),
        ({"origin": "https://evil.test", "sec-fetch-site": ""}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "", "sec-fetch-site": ""}, 403),
        ({"origin": "", "sec-fetch-site": "same-site"}, 403),
        ({"origin": "", "sec-fetch-site": "same-origin"}, 303),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": "application/json"}, 415),
    ],
)
def test_forms_of_other_sites(served, visitor, database, submitted, headers, status):
    """The header Origin or Sec-Fetch-Site must show that a form comes from the console, even if its token is valid."""
    run = submitted()
    one = visitor(served())

    assert status == one.post(f"/runs/{run}/cancel", {"csrf": one.token(f"/runs/{run}")}, **headers).status_code
    assert ("canceled" if status == 303 else "ready") == state_of(database, run)


@pytest.mark.parametrize("fields", [{"other": "x"}, {"csrf": ""}, {"csrf": "guessed"}, {"csrf": "\u00e9"}])
def test_forms_without_their_token(served, visitor, database, submitted, fields):
    """A form is refused without its visitor's token."""
    run = submitted()

    assert 403 == visitor(served()).post(f"/runs/{run}/cancel", fields).status_code
    assert "ready" == state_of(database, run)


def test_a_form_is_bounded(served, visitor, submitted):
    """A form that is too long or has too many fields is refused, and so is a GET request."""
    run = submitted()
    one = visitor(served())

    assert 413 == one.post(f"/runs/{run}/cancel", {"csrf": "x" * 20_000}).status_code
    assert 400 == one.post(f"/runs/{run}/cancel", {f"f{n}": "" for n in range(30)}).status_code
    assert 405 == one.get(f"/runs/{run}/cancel").status_code


@pytest.mark.parametrize("name", ["missing", "%00", "a%0Akosmo%20serve:%20alice%20approved", "%FF", "x" * 3000])
def test_forms_about_unknown_objects(served, visitor, submitted, name):
    """A form for an object that does not exist is answered with 404, and no action is reported."""
    console = served()
    one = visitor(console)
    fields = {"csrf": one.token(f"/runs/{submitted()}")}
    paths = (f"/runs/{name}/cancel", f"/runs/{name}/resume", f"/schedules/{name}/run", f"/schedules/{name}/pause")

    assert {404} == {one.post(path, fields).status_code for path in paths}
    assert {404} == {one.get(path).status_code for path in (f"/runs/{name}", f"/approvals/{name}")}
    assert "" == console.log()


# Signing in -------------------------------------------------------------------------------------------------------


def test_secrets_are_printed_once(process, visitor):
    """With --login new secrets are generated; every page redirects to the login until one of them is entered."""
    console = process("--login")
    one = visitor(console)
    for path in ("/", "/runs/x", "/workers", "/budgets"):
        assert 303 == one.get(path).status_code
        assert one.get(path).headers["location"].startswith("/login")
    assert "/login?next=%2Fruns%2Fx%3Fa%3D1" == one.get("/runs/x?a=1").headers["location"]

    answer = one.sign_in(console.secret("read"))
    assert (303, "/") == (answer.status_code, answer.headers["location"])
    assert 200 == one.get("/").status_code


def test_the_cookie(served, visitor, secrets):
    """The cookie is limited to this site and to HTTP; signing out ends the session."""
    one = visitor(served("--secret-file", secrets))
    cookie = one.sign_in(APPROVE).headers.get_list("set-cookie")[0]
    assert re.match(r"kosmo=[\w-]{43}; HttpOnly; Path=/; SameSite=strict$", cookie)

    kept = one.client.cookies["kosmo"]
    assert 303 == one.post("/logout", {"csrf": one.token("/")}).status_code
    assert 303 == one.get("/", cookie=f"kosmo={kept}").status_code


def test_readers_cannot_change_anything(served, visitor, database, submitted, secrets):
    """A reader sees no buttons, and a form that a reader forges changes nothing."""
    run, console = submitted(), served("--secret-file", secrets)
    reader, approver = visitor(console), visitor(console)
    reader.sign_in(READ)
    approver.sign_in(APPROVE)

    page = reader.get(f"/runs/{run}").text
    assert "Cancel this run" not in page
    assert "Sign in with a secret for the role approve to cancel this run." in page
    assert 403 == reader.post(f"/runs/{run}/cancel", {"csrf": reader.token("/")}).status_code
    assert 403 == reader.post(f"/runs/{run}/cancel", {"csrf": approver.token("/")}).status_code
    assert "ready" == state_of(database, run)

    assert "alice (approve)" in approver.get("/").text
    assert 303 == approver.post(f"/runs/{run}/cancel", {"csrf": approver.token(f"/runs/{run}")}).status_code
    assert "canceled" == state_of(database, run)
    assert f"alice canceled run {run}" in console.log()


def test_a_form_without_a_session(served, visitor, database, submitted, secrets):
    """A form without a session changes nothing."""
    run = submitted()

    assert 403 == visitor(served("--secret-file", secrets)).post(f"/runs/{run}/cancel", {"csrf": "x"}).status_code
    assert "ready" == state_of(database, run)


def test_guessing_is_slowed_down(served, visitor, secrets):
    """After a few wrong secrets even the right one is refused for a while, with or without cookies."""
    console = served("--secret-file", secrets)
    answers = [visitor(console).sign_in(f"wrong-{n}") for n in range(BURST)]
    assert [403] * BURST == [answer.status_code for answer in answers]
    assert "This secret is not known." in answers[0].text

    late = visitor(console).sign_in(APPROVE)
    assert 429 == late.status_code
    assert 0 < int(late.headers["retry-after"]) <= 13


def test_a_login_requires_the_console_form(served, visitor, secrets):
    """A login form from another site or without its cookie does not sign in."""
    console = served("--secret-file", secrets)
    one = visitor(console)
    fields = {"csrf": one.token("/login"), "next": "/", "secret": APPROVE}

    assert 403 == one.post("/login", fields, origin="https://evil.test").status_code
    assert 403 == visitor(console).post("/login", fields).status_code
    assert "kosmo" not in one.client.cookies


def test_a_link_of_another_site(served, visitor, secrets):
    """Browsers send no strict cookies with a link from another site, so a page opens the same address again; only that
    second request redirects to the login."""
    one = visitor(served("--secret-file", secrets))

    assert 'http-equiv="refresh" content="0"' in one.get("/", **{"sec-fetch-site": "cross-site"}).text
    assert 303 == one.get("/", **{"sec-fetch-site": "same-origin"}).status_code


@pytest.mark.parametrize(
    ("content", "mode", "said"),
    [
        ("approve short\n", 0o600, "the secret has 5 characters, expected at least 16"),
        ("admin alice secret-secret-secret\n", 0o600, "expected ROLE SECRET or ROLE NAME SECRET"),
        ("# nothing\n", 0o600, "no secrets in"),
        (f"approve {APPROVE}\n", 0o644, "all users can read or write"),
        (None, 0o600, "cannot read"),
    ],
)
def test_an_invalid_file_of_secrets(database, tmp_path, content, mode, said, capsys):
    """An invalid secrets file is reported before anything is served, without showing a secret."""
    from kosmolua.cli import main

    file = tmp_path / "secrets"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)

    assert 4 == main(["serve", "--database", database.url, "--secret-file", str(file)])
    printed = capsys.readouterr().err
    assert said in printed
    assert "hint:" in printed
    assert APPROVE not in printed


def test_invalid_ports_and_addresses(database, capsys):
    """A port in use, an invalid port and an invalid address are reported."""
    from kosmolua.cli import main

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert 4 == main(["serve", "--database", database.url, "--port", str(taken.getsockname()[1])])
    assert 2 == main(["serve", "--port", "70000"])
    assert 2 == main(["serve", "--public-url", "kosmo.example.com"])
    assert 3 == capsys.readouterr().err.count("hint:")


# Headers ----------------------------------------------------------------------------------------------------------


def test_the_headers_of_every_answer(served, visitor, submitted, secrets):
    """Pages, redirects, refusals, files, and answers to invalid requests all have the security headers."""
    run, console = submitted(), served("--secret-file", secrets)
    one = visitor(console)
    one.sign_in(READ)
    style = re.search(r'href="(/static/\w+/console.css)"', one.get("/").text)[1]
    answers = [one.get(path) for path in ("/", f"/runs/{run}", "/runs/none", "/none", "/login", style, "/static/x/y")]
    answers += [one.post("/", {}), visitor(console).get("/"), visitor(console).post("/logout", {})]
    assert {200, 303, 404, 405, 415} == {answer.status_code for answer in answers}

    with socket.create_connection(("127.0.0.1", httpx.URL(console.url).port)) as plain:
        plain.sendall(b"nonsense\r\n\r\n")
        raw = plain.recv(65_536).decode().lower()
    for name, value in HEADERS:
        assert {value} == {answer.headers.get(name) for answer in answers}
        assert f"{name}: {value}".lower() in raw
    assert all("server" not in answer.headers for answer in answers)
    assert {"no-store"} == {answer.headers["cache-control"] for answer in answers if answer.url.path != style} - {None}
    assert "immutable" in one.get(style).headers["cache-control"]


def test_a_public_https_address(served, visitor, secrets):
    """With a public https address, cookies are sent only over https, and answers have the HSTS header."""
    console = served("--secret-file", secrets, "--public-url", "https://kosmo.example.com/")
    one = visitor(console)
    page = one.get("/login")
    token = re.search(r'name="csrf" value="([^"]+)"', page.text)[1]
    sent = {"origin": "https://kosmo.example.com", "cookie": page.headers["set-cookie"].partition(";")[0]}
    answer = one.post("/login", {"csrf": token, "next": "//evil.test", "secret": APPROVE}, **sent)

    assert (303, "/") == (answer.status_code, answer.headers["location"])
    assert answer.headers.get_list("set-cookie")[0].startswith("__Host-kosmo=")
    assert "Secure" in answer.headers.get_list("set-cookie")[0]
    assert "max-age=31536000" == answer.headers["strict-transport-security"]


# Sessions, attempts and secrets -----------------------------------------------------------------------------------


def test_sessions_end():
    """Sessions end after a time without requests, and always after a working day."""
    now = [0.0]
    sessions = Sessions(lambda: now[0])
    kept, used = (sessions.begin(Secret("read", "r", READ)).session for _ in range(2))
    now[0] = IDLE - 1
    assert sessions.find(used)
    now[0] = IDLE + 1
    assert sessions.find(kept) is None
    while now[0] < LIFETIME:
        assert sessions.find(used)
        now[0] += IDLE / 2
    now[0] = LIFETIME + 1
    assert sessions.find(used) is None


def test_attempts_refill():
    """An address has a few login attempts at once, then one at a time; all addresses together have a separate limit."""
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    assert [0.0] * BURST == [attempts.wait("192.0.2.1") for _ in range(BURST)]
    wait = attempts.wait("192.0.2.1")
    assert wait > 0
    assert 0 == attempts.wait("192.0.2.2")
    now[0] += wait
    assert 0 == attempts.wait("192.0.2.1")

    many = sum(attempts.wait(f"198.51.100.{n}") == 0 for n in range(250))
    assert 40 < many <= 60


def test_addresses_of_one_network_count_as_one():
    """Addresses from the same IPv6 network count as one."""
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:2")
    assert network_of("2001:db8:0:1::1") != network_of("2001:db8::1")
    assert network_of("::ffff:192.0.2.1") == network_of("192.0.2.1")


def test_secrets_match_as_a_whole():
    """A prefix of a secret, a longer text and an empty text do not match."""
    known = [Secret("read", "r", READ), Secret("approve", "a", APPROVE)]
    assert "a" == matching(known, APPROVE).name
    assert [None] * 4 == [matching(known, each) for each in ("", APPROVE[:-1], f"{APPROVE}x", "\ud800")]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/runs/1?a=b", "/runs/1?a=b"),
        ("//evil.test", "/"),
        ("/\\evil.test", "/"),
        ("https://evil.test", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\nb", "/"),
        ("", "/"),
    ],
)
def test_a_login_redirects_only_within_the_console(given, kept):
    """A login redirects only to a path of the console."""
    assert kept == local_path(given)


def test_addresses_of_this_machine():
    """Loopback addresses need no login; other addresses and host names do."""
    assert all(is_loopback(each) for each in ("127.0.0.1", "127.9.9.9", "::1", "localhost"))
    assert not any(is_loopback(each) for each in ("0.0.0.0", "::", "192.0.2.1", "example.com", ""))
