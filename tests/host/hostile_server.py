"""A loopback server whose answers are invalid: wrong types, depths, sizes, dates, URLs, encodings and lengths.

The server runs in its own process, so that the host's CPU time and memory are measured separately.
"""

import gzip
import json
import multiprocessing
import random
import re
import socket
import threading
from collections import deque
from contextlib import suppress

from odd_values import HEX, ODD, ODD_TEXTS, ODD_TIMES, ODD_URLS, RAW, STATES, STATUSES, TIMES

from kosmolua.replicate import catalogue


class Raw(str):
    """Text that goes into the JSON unchanged."""

    __slots__ = ()


class Answers:
    """Makes answers for a method and a target. Output URLs begin with ``origin``."""

    def __init__(self, dice, origin):
        self._dice = dice
        self._origin = origin
        self._routes = [
            (each.method, re.compile(re.sub(r"{\w+}", "[^/?]+", each.path) + r"(\?.*)?"), each)
            for each in catalogue.OPERATIONS
        ]

    def make(self, method, target):
        """The bytes of a whole answer, and whether the connection may stay open."""
        dice = self._dice
        if target.startswith("/out/stream"):
            return self._framed(200, self._events(), "text/event-stream")
        if target.startswith("/out/"):
            return self._framed(
                dice.choice([200, 200, 200, 206, 302, 404]), dice.randbytes(dice.randrange(2000)), "image/png"
            )
        status = dice.choice(STATUSES) if dice.random() < 0.15 else 201 if method == "POST" else 200
        if dice.random() < 0.08:
            return self._framed(status, self._junk(), dice.choice(["application/json", "text/html", "\xff", ""]))
        value = self._problem() if status >= 400 else self._shape(method, target.removeprefix("/v1"))
        for _ in range(dice.choice([0, 0, 1, 1, 2, 3, 8])):
            value = self._damaged(value)
        return self._framed(status, self._written(value), "application/json")

    # Answers ---------------------------------------------------------------------------------------------------

    def _shape(self, method, path):
        found = next((each for verb, route, each in self._routes if verb == method and route.fullmatch(path)), None)
        returns = (found.returns if found and self._dice.random() < 0.9 else None) or self._dice.choice(
            ["Prediction", "Training", "Model", "Page<Prediction>", "Version", "Account"]
        )
        if returns.startswith("Page<"):
            return self._page(returns[5:-1])
        if returns.endswith("[]"):
            return [self._one(returns[:-2]) for _ in range(self._dice.randrange(4))]
        return self._one(returns)

    def _page(self, kind):
        dice = self._dice
        links = [None, None, "null", f"{self._origin}/v1/x?cursor=abc", f"{self._origin}/v1/x?cursor={dice.random()}"]
        return {
            "next": dice.choice([*links, *ODD_URLS[:5]]),
            "previous": None,
            "results": [self._one(kind) for _ in range(dice.choice([0, 1, 2, 5]))],
        }

    def _one(self, kind):
        dice = self._dice
        if kind in {"Prediction", "Training"}:
            return self._job()
        if kind == "Version":
            return {
                "id": HEX,
                "created_at": dice.choice(TIMES),
                "cog_version": "0.16",
                "openapi_schema": self._schema(),
            }
        if kind == "Model":
            version = self._one("Version") if dice.random() < 0.7 else None
            return {
                "owner": "a",
                "name": "b",
                "url": "https://replicate.com/a/b",
                "visibility": "public",
                "run_count": 5,
                "description": dice.choice(ODD_TEXTS),
                "is_official": dice.random() < 0.5,
                "latest_version": version,
                "default_example": self._job(),
                "cover_image_url": self._url(),
            }
        if kind == "SearchResult":
            return {
                "query": "q",
                "models": [{"model": self._one("Model"), "metadata": {"score": 1}}],
                "collections": [],
                "pages": [],
            }
        release = {
            "number": 1,
            "model": "a/b",
            "version": HEX,
            "created_at": dice.choice(TIMES),
            "created_by": {},
            "configuration": {"hardware": "cpu", "min_instances": 0, "max_instances": 1},
        }
        return {
            "type": "user",
            "username": "u",
            "name": "b",
            "owner": "a",
            "key": "whsec_",
            "id": "x",
            "slug": "s",
            "urls": {"get": self._url()},
            "checksums": {"sha256": "0"},
            "current_release": release,
            "models": [],
        }

    def _job(self):
        dice = self._dice
        state = dice.choice(STATES)
        over = state in STATES[2:]
        return {
            "id": f"p{dice.randrange(1000)}",
            "model": "a/b",
            "version": HEX,
            "status": state,
            "input": {"prompt": "x"},
            "output": self._output() if over else None,
            "error": "bad" if state == "failed" else None,
            "logs": dice.choice([None, "", "50%|█████     | 5/10", *ODD_TEXTS]),
            "created_at": self._time(),
            "started_at": self._time() if over else None,
            "completed_at": self._time() if over else None,
            "metrics": {"predict_time": dice.choice([0.5, 1, -1, "x", None, 1e300]), "total_time": 2},
            "data_removed": dice.random() < 0.1,
            "urls": {
                "get": self._url(),
                "cancel": self._url(),
                "web": "https://replicate.com/p/x",
                "stream": f"{self._origin}/out/stream/{dice.randrange(99)}" if dice.random() < 0.7 else self._url(),
            },
        }

    def _output(self):
        dice = self._dice
        return dice.choice(
            [None, "text", ["a", "b"], self._url(), [self._url(), self._url()], {"a": self._url()}, 5, [1, None]]
        )

    def _schema(self):
        kinds = ["string", "integer", "number", "boolean", "array", "object", "uri", None, 5, {}, []]
        properties = {
            name: {
                "type": self._dice.choice(kinds),
                "default": self._dice.choice(ODD),
                "x-order": self._dice.choice(ODD),
            }
            for name in ("prompt", "image", "n")
        }
        output = self._dice.choice(
            [
                {"type": "array", "items": {"type": "string", "format": "uri"}},
                {"type": "string", "format": "uri"},
                {"type": "array", "x-cog-array-type": "iterator", "items": {"type": "string"}},
                {},
                None,
                5,
            ]
        )
        return {"components": {"schemas": {"Input": {"type": "object", "properties": properties}, "Output": output}}}

    def _problem(self):
        dice = self._dice
        return {
            "title": dice.choice(ODD_TEXTS),
            "detail": dice.choice([*ODD_TEXTS, *ODD]),
            "status": dice.choice(ODD),
            "invalid_fields": [{"field": "input", "description": "d"}],
            "retry_after": dice.choice(ODD),
        }

    def _time(self):
        return self._dice.choice(TIMES * 4 + ODD_TIMES)

    def _url(self):
        dice = self._dice
        good = [
            f"{self._origin}/out/{dice.randrange(50)}.png",
            "https://replicate.delivery/x/out.png",
            "data:image/png;base64,iVBORw0KGgo=",
        ]
        return dice.choice(good) if dice.random() < 0.6 else dice.choice(ODD_URLS)

    def _events(self):
        dice = self._dice
        lines = []
        for _ in range(dice.randrange(12)):
            name = dice.choice(["event", "data", "id", "retry", "", "data", "data", "x" * 100])
            lines.append(
                f"{name}:{dice.choice(['', ' '])}{dice.choice([*ODD_TEXTS, 'output', 'done', 'error', '{}', 'hello'])}"
            )
            if dice.random() < 0.4:
                lines.append("")
        if dice.random() < 0.5:
            lines += [
                "",
                f"event: {dice.choice(['done', 'done', 'error'])}",
                f"data: {dice.choice(['{}', '', 'x'])}",
                "",
                "",
            ]
        return dice.choice(["\n", "\r\n", "\r"]).join(lines).encode("utf-8", "surrogatepass") + dice.choice(
            [b"", b"\xff\n\n", b"\n"]
        )

    # Damage to answers ------------------------------------------------------------------------------------------

    def _odd(self):
        dice = self._dice
        kind = dice.randrange(7)
        if kind == 0 and dice.random() < 0.01:
            return self._large()
        pools = (ODD, ODD_TEXTS, ODD_TIMES, ODD_URLS, STATES)
        return Raw(dice.choice(RAW)) if kind >= len(pools) else dice.choice(pools[kind])

    def _large(self):
        many = self._dice.choice([10_000, 200_000, 1_000_000])
        return self._dice.choice(
            [
                Raw('"' + "x" * many * 5 + '"'),
                Raw("[" + "{}," * (many // 4) + "1]"),
                Raw('"' + r"\ud83d" * (many // 2) + '"'),
                Raw("{" + ",".join(f'"{n}":{n}' for n in range(many // 10)) + "}"),
                Raw("1" * many),
            ]
        )

    def _damaged(self, value):
        """The same value with one part changed, added or removed."""
        dice = self._dice
        if not isinstance(value, dict | list) or isinstance(value, Raw) or not value or dice.random() < 0.12:
            return self._odd()
        if isinstance(value, list):
            at = dice.randrange(len(value))
            return [*value[:at], self._damaged(value[at]), *value[at + 1 :]]
        name = dice.choice([*value])
        match dice.randrange(12):
            case 0:
                return {key: item for key, item in value.items() if key != name}
            case 1:
                return {**value, dice.choice(ODD_TEXTS): self._odd()}
        return {**value, name: self._damaged(value[name])}

    def _written(self, value):
        """The value as JSON, with raw text unchanged."""
        raws = []

        def marked(item):
            if isinstance(item, Raw):
                raws.append(item)
                return f"\x01{len(raws) - 1}\x01"
            if isinstance(item, dict):
                return {key: marked(each) for key, each in item.items()}
            return [marked(each) for each in item] if isinstance(item, list) else item

        text = json.dumps(marked(value), ensure_ascii=self._dice.random() < 0.5)
        text = re.sub(r'"\\u0001(\d+)\\u0001"', lambda found: raws[int(found[1])], text)
        return text.encode("utf-8", "surrogatepass")

    def _junk(self):
        dice = self._dice
        return dice.choice(
            [
                b"",
                b" ",
                b"null",
                b"[",
                b"{}",
                b"[]",
                b"1",
                b'"x"',
                b"<html><title>Bad gateway</title>",
                b"\xff\xfe{\x00}\x00",
                b"\xef\xbb\xbf{}",
                b"[" * 5000,
                b'{"a":' * 2000,
                b"NaN",
                dice.randbytes(200),
                b'{"results": [1, null, "x", {}]}',
                b'{"results": {"a": 1}}',
                b'{"next": 5, "results": null}',
                b"\x1f\x8b",
                b'{"id": null}',
                b'{"id": ""}',
                b'{"id": [1], "status": {}}',
            ]
        )

    # Sending ----------------------------------------------------------------------------------------------------------

    def _framed(self, status, body, kind):
        dice = self._dice
        head = {"Content-Type": kind, "Content-Length": str(len(body))}
        odd = dice.random()
        if odd < 0.02:
            body, head["Content-Encoding"] = (
                gzip.compress(body),
                dice.choice(["gzip", "deflate", "br", "gzip, gzip", "x"]),
            )
            head["Content-Length"] = str(len(body))
        elif odd < 0.03:
            head["Content-Length"] = dice.choice(["-1", "x", "", "5, 6", str(len(body) + 9), "9" * 25, "+2"])
        elif odd < 0.04:
            body, head = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body), {"Transfer-Encoding": "chunked"}
        if dice.random() < 0.1:
            head |= {
                "Location": dice.choice(ODD_URLS),
                "Retry-After": dice.choice(["0", "x", "-1", "1e400", "9" * 20, "Mon, 01 Jan 0001 00:00:00 GMT"]),
                "Date": dice.choice(["x", "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", ""]),
                "X-Request-Id": dice.choice(["r" * 5000, "\xff", "", "\x1b[2J"]),
                "ETag": '"x',
                "Content-Range": dice.choice(["bytes 0-", "x"]),
            }
        lines = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in head.items())
        whole = f"HTTP/1.1 {status} Odd\r\n{lines}\r\n".encode("latin-1", "replace") + body
        if dice.random() < 0.01:
            return whole[: dice.randrange(len(whole))], False
        return whole, odd >= 0.04 and status >= 200 and status not in (204, 304)


def _one_line(text):
    return text.replace("\r", " ").replace("\n", " ")


class HostileServer:
    """A server in a child process that runs until closed; ``made`` counts its answers, `last` has the newest."""

    def __init__(self, seed):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        context = multiprocessing.get_context("fork")
        self._made = context.Value("L", 0)
        self._process = context.Process(target=_serve, args=(self._listener, seed, self._made), daemon=True)
        self._process.start()
        self.port = self._listener.getsockname()[1]
        self._listener.close()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def made(self):
        return self._made.value

    def last(self):
        """The newest answers with their requests, for the description of a finding."""
        with socket.create_connection(("127.0.0.1", self.port)) as asking:
            asking.sendall(b"LAST / HTTP/1.1\r\n\r\n")
            return b"".join(iter(lambda: asking.recv(65536), b"")).decode(errors="backslashreplace")

    def close(self):
        self._process.terminate()
        self._process.join(5)


def _serve(listener, seed, made):
    host, port = listener.getsockname()[:2]
    answers, newest, lock = Answers(random.Random(seed), f"http://{host}:{port}"), deque(maxlen=6), threading.Lock()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_talk, args=(connection, answers, newest, lock, made), daemon=True).start()


def _talk(connection, answers, newest, lock, made):
    with connection, suppress(OSError, ValueError), connection.makefile("rb") as reader:
        while line := reader.readline():
            method, target, _ = line.decode("latin-1").split(" ", 2)
            length = 0
            while (header := reader.readline()) not in (b"\r\n", b""):
                if header.lower().startswith(b"content-length:"):
                    length = int(header.partition(b":")[2])
            reader.read(length)
            if method == "LAST":
                connection.sendall("\n".join(newest).encode(errors="backslashreplace"))
                return
            with lock:
                data, keep = answers.make(method, target)
                made.value += 1
                newest.append(f"{method} {target[:200]} -> {data[:1500]!r}")
            connection.sendall(data)
            if not keep:
                return
