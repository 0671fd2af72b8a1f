"""``emulator:serve``: Replicate offline, on a loopback port, for any client."""

from __future__ import annotations

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.errors import UsageError


def run(command: str, argv: list[str]) -> int:
    made = options_.parser(
        command,
        "Serve Replicate offline on loopback until interrupted. Any token is accepted but an empty one and `invalid`.",
        "kosmo emulator:serve --port 8700 --fault 429:create:retry_after=2",
    )
    made.add_argument("--port", type=int, default=0, metavar="N", help="port to listen on; default: a free one")
    made.add_argument("--fault", action="append", default=[], metavar="SPEC", help="misbehave; repeatable")
    made.add_argument("--cassette", metavar="FILE", help="serve a recorded run, and nothing else")
    made.add_argument("--json", action="store_true", help="as it does anyway: the URL, as JSON, is the first line")
    parsed = made.parse_args(argv)
    if not 0 <= parsed.port < 1 << 16:
        raise UsageError(f"--port: expected 0 to 65535, got {parsed.port}")

    def ready(url: str) -> None:
        output.write_text(output.to_json({"url": url}, indent=False) + "\n")

    from kosmolua.emulator import Emulator, Player, serve

    if parsed.cassette and parsed.fault:
        raise UsageError("--fault is for the emulator, and --cassette serves what was", hint="leave one of them out")
    application = Player(parsed.cassette) if parsed.cassette else Emulator(faults=parsed.fault)
    try:
        serve(application, port=parsed.port, ready=ready)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {parsed.port}: {error.strerror}", hint="take another, or --port 0 for a free one"
        ) from None
    return 0
