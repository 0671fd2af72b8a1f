"""``emulator:serve``: serve an offline Replicate API on a loopback port."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.errors import UsageError

if TYPE_CHECKING:
    from kosmolua.emulator.server import Application


# Options of the emulator and their defaults. None of them can be combined with --cassette.
_DEFAULTS: dict[str, Any] = {
    "faults": [],
    "models": None,
    "outputs": "url",
    "streams": "guide",
    "latency": 0.0,
    "speed": 1.0,
    "cogs": [],
}
_FLAGS = {"faults": "fault", "cogs": "cog"}


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)
    if not parsed.speed > 0:
        raise UsageError(f"--speed: expected a number above 0, such as 10, got {parsed.speed:g}")

    from kosmolua.emulator import Emulator, Player

    options = {name: getattr(parsed, name) for name in _DEFAULTS}
    changed = [name for name, value in options.items() if value != _DEFAULTS[name]]
    if parsed.cassette and changed:
        flag = _FLAGS.get(changed[0], changed[0])
        raise UsageError(f"--{flag} and --cassette cannot be combined", hint="leave one of them out")
    application = Player(parsed.cassette) if parsed.cassette else Emulator(**options)
    serve(application, parsed.port, secure=parsed.https, proxy=parsed.proxy, any_token=True)
    return 0


def _tell_clients(url: str, proxy: str = "", certificate: str = "", *, any_token: bool) -> None:
    lines = [*_clients(url, any_token=any_token), *_certified(proxy, certificate, any_token=any_token)]
    print("\n".join(["to use it, for", *(f"  {line}" for line in lines)]), file=sys.stderr, flush=True)


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Serve an offline Replicate API on loopback until interrupted. The first line of output is its URL as JSON. "
        "Any token will do, except an empty one and `invalid`.",
        "kosmo emulator:serve --port 8700 --fault 429:create:retry_after=2\n"
        + "".join(f"  {line}\n" for line in _clients("http://127.0.0.1:8700/v1")),
    )
    made.add_argument(
        "--port", type=options_.port, default=0, metavar="N", help="listen on this port (default: a free one)"
    )
    made.add_argument(
        "--fault",
        dest="faults",
        action="append",
        default=[],
        metavar="SPEC",
        help="inject a fault, such as 429:create:retry_after=2; see kosmo help faults; repeatable",
    )
    made.add_argument(
        "--models", metavar="PATH", help="add the public models of a file or directory; save them: kosmo models pull"
    )
    add_secure_options(made)
    made.add_argument(
        "--outputs",
        choices=("url", "data"),
        default="url",
        help="return output files as URLs or as data URLs (default: url)",
    )
    made.add_argument(
        "--streams",
        choices=("guide", "ids"),
        default="guide",
        help="end streams with an event without an id, as the API's guide shows, or with one (default: guide)",
    )
    made.add_argument(
        "--latency", type=options_.amount, default=0.0, metavar="SECONDS", help="delay every answer (default: 0)"
    )
    made.add_argument(
        "--speed",
        type=options_.amount,
        default=1.0,
        metavar="FACTOR",
        help="run models FACTOR times faster (default: 1)",
    )
    made.add_argument(
        "--cog",
        dest="cogs",
        action="append",
        default=[],
        metavar="OWNER/NAME=URL",
        help="add a model that runs on a cog server, such as me/model=http://127.0.0.1:5000; repeatable. "
        "After a comma: a second server, for its trainings",
    )
    made.add_argument("--cassette", metavar="FILE", help="serve only the calls of a recorded run")
    made.add_argument(
        "--json", action="store_true", help="accepted for consistency; the first line is always JSON with the URL"
    )
    return made


def _clients(url: str, *, any_token: bool = True) -> list[str]:
    """The settings with which clients use the server: with any token, or with their own token."""
    token, auth = (" REPLICATE_API_TOKEN=any", 'auth: "any", ') if any_token else ("", "")
    return [
        f"kosmo:       export REPLICATE_URL={url}{token}",
        f"Python:      export REPLICATE_BASE_URL={url.removesuffix('/v1')}{token}",
        f'JavaScript:  new Replicate({{ {auth}baseUrl: "{url}" }})',
    ]


def _certified(proxy: str, certificate: str, *, any_token: bool) -> list[str]:
    trust = f"export SSL_CERT_FILE={certificate} NODE_EXTRA_CA_CERTS={certificate}"
    if proxy:
        token = " REPLICATE_API_TOKEN=any" if any_token else ""
        return [f"others:      export HTTPS_PROXY={proxy} NODE_USE_ENV_PROXY=1{token}", f"             {trust}"]
    return [f"all:         {trust}"] if certificate else []


def add_secure_options(made: options_.Parser) -> None:
    secure = made.add_mutually_exclusive_group()
    secure.add_argument(
        "--https", action="store_true", help="serve HTTPS with a new certificate; the first line names it"
    )
    secure.add_argument(
        "--proxy",
        action="store_true",
        help="also serve as HTTPS_PROXY for programs whose API address is fixed; the first line names the proxy's "
        "certificate",
    )


def serve(
    application: Application,
    port: int,
    *,
    secure: bool,
    proxy: bool,
    any_token: bool = False,
    **facts: str,
) -> None:
    """Serve the application until interrupted. The first line of output is JSON with its URL and the facts.

    Settings for clients are written to standard error: with any token, or with the client's own.
    """
    try:
        _serve(application, port, secure=secure, proxy=proxy, any_token=any_token, **facts)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {port}: {error.strerror}",
            hint="choose another port, or use --port 0 for a free one",
        ) from None


def _serve(application: Application, port: int, *, secure: bool, proxy: bool, any_token: bool, **facts: str) -> None:
    from kosmolua.emulator import serve

    def ready(url: str, **more: str) -> None:
        own = {"proxy": url.removesuffix("/v1")} if proxy else {}
        output.write_text(output.to_json({"url": url, **own, **more, **facts}, indent=False) + "\n")
        _tell_clients(url, **own, **more, any_token=any_token)

    if not secure and not proxy:
        serve(application, port=port, ready=ready)
        return
    from kosmolua.emulator.certificate import certified
    from kosmolua.emulator.tunnel import HOST

    with certified(*([HOST] if proxy else [])) as (certificate, context):
        named = partial(ready, certificate=certificate)
        tls, proxied = (None, context) if proxy else (context, None)
        serve(application, port=port, ready=named, secure=tls, proxied=proxied)
