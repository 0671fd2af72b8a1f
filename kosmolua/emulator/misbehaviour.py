"""Applies faults to requests and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from werkzeug import Response

from kosmolua.emulator import problem
from kosmolua.emulator.call import ApiCall
from kosmolua.emulator.faults import Fault

OK = 200
Faults = Mapping[str, Fault]
PROXY_PAGE = (
    "<html>\n<head><title>502 Bad Gateway</title></head>\n<body>\n<center><h1>502 Bad Gateway</h1></center>\n"
    "<hr><center>emulated proxy</center>\n</body>\n</html>\n"
)


def dropped() -> ConnectionResetError:
    """The exception that callers in this process get for a lost connection."""
    return ConnectionResetError("the emulator dropped the connection (simulated fault)")


def instead(faults: Faults) -> Response | None:
    """The answer of a fault that prevents the operation. Raises a ProblemError or ConnectionResetError."""
    if "drop" in faults and faults["drop"].options["after"] == "request":
        raise dropped()
    if "401" in faults:
        raise problem.unauthenticated()
    if "429" in faults:
        raise problem.throttled(round(faults["429"].number("retry_after")))
    if "402" in faults:
        raise problem.no_credit()
    if "low-credit" in faults:
        raise problem.low_credit(round(faults["low-credit"].number("retry_after")))
    if "500" in faults:
        raise problem.ProblemError(500, "Internal server error", "Simulated error.")
    if "503" in faults:
        headers = {"Retry-After": faults["503"].options["retry_after"]}
        raise problem.ProblemError(503, "Service unavailable", "Simulated outage.", headers=headers)
    if "empty" in faults:
        return Response(status=500)
    return Response(PROXY_PAGE, 502, mimetype="text/html") if "502-html" in faults else None


def spoil(response: Response, faults: Faults, call: ApiCall) -> Response:
    """The answer, changed by faults. May raise ConnectionResetError."""
    if "drop" in faults:
        raise dropped()
    if "next-null" in faults and response.status_code == OK:
        response = _with_next(response, "null")
    if "http-next" in faults and response.status_code == OK:
        response = _with_next(response, _foreign(response, faults["http-next"].options["host"], call))
    return _cut(response) if "cut" in faults else response


def _document(response: Response) -> dict[str, Any]:
    return msgspec.json.decode(response.get_data(), type=dict[str, Any])


def _with_next(response: Response, link: str) -> Response:
    response.set_data(msgspec.json.encode({**_document(response), "next": link}))
    return response


def _foreign(response: Response, host: str, call: ApiCall) -> str:
    own = urlsplit(_document(response)["next"] or f"{call.origin}{call.request.path}?cursor=bj0%3D")
    return own._replace(scheme="http", netloc=host).geturl()


def _cut(response: Response) -> Response:
    body = response.get_data()

    def half() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        raise dropped()

    headers = {**response.headers, "Content-Length": str(len(body))}
    return Response(half(), response.status, headers)
