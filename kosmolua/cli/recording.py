"""``emulator:record``: a loopback proxy in front of the API that writes a cassette while a program uses it."""

from __future__ import annotations

from kosmolua.cli import options as options_
from kosmolua.cli.emulator import add_secure_options, serve
from kosmolua.cli.host import print_notice
from kosmolua.replicate.catalogue import SERVER


def run(command: str, argv: list[str]) -> int:
    parsed = _parser(command).parse_args(argv)

    from kosmolua.host.recorder import Recorder

    recorder = Recorder(parsed.to, parsed.output, insecure_http=parsed.insecure_http)
    serve(recorder, parsed.port, secure=parsed.https, proxy=parsed.proxy, to=recorder.base, output=parsed.output)
    print_notice(recorder.tape.summary)
    return 0


def _parser(command: str) -> options_.Parser:
    made = options_.parser(
        command,
        "Forward requests to the API until interrupted, and write them with their answers to a cassette. The "
        "program's own token is forwarded and never written.",
        "kosmo emulator:record --output tape.jsonl --port 8700",
    )
    made.add_argument("--output", required=True, metavar="FILE", help="write the cassette to this file")
    made.add_argument(
        "--port", type=options_.port, default=0, metavar="N", help="listen on this port (default: a free one)"
    )
    made.add_argument("--to", default=SERVER, metavar="URL", help=f"the API to record (default: {SERVER})")
    add_secure_options(made)
    made.add_argument(
        "--insecure-http", action="store_true", help="allow forwarding the token over plain HTTP to other machines"
    )
    made.add_argument(
        "--json", action="store_true", help="accepted for consistency; the first line is always JSON with the URL"
    )
    return made
