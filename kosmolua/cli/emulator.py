"""``emulator:serve``: serve an offline Replicate API on a loopback port."""

from __future__ import annotations

from kosmolua.cli import options as options_
from kosmolua.cli import output
from kosmolua.errors import UsageError


def run(command: str, argv: list[str]) -> int:
    made = options_.parser(
        command,
        "Serve an offline Replicate API on loopback until interrupted. It accepts every token except an empty one and "
        "`invalid`.",
        "kosmo emulator:serve --port 8700 --fault 429:create:retry_after=2",
    )
    made.add_argument("--port", type=int, default=0, metavar="N", help="listen on this port (default: a free one)")
    made.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="SPEC",
        help="inject a fault, such as 429:create:retry_after=2; repeatable",
    )
    made.add_argument(
        "--models", metavar="PATH", help="add the public models of a file or directory; save them: kosmo models pull"
    )
    made.add_argument("--cassette", metavar="FILE", help="serve only the calls of a recorded run")
    made.add_argument(
        "--json", action="store_true", help="accepted for consistency; the first line is always the URL as JSON"
    )
    parsed = made.parse_args(argv)
    if not 0 <= parsed.port < 1 << 16:
        raise UsageError(f"--port: expected 0 to 65535, got {parsed.port}")

    def ready(url: str) -> None:
        output.write_text(output.to_json({"url": url}, indent=False) + "\n")

    from kosmolua.emulator import Emulator, Player, serve

    if parsed.cassette and (parsed.fault or parsed.models):
        other = "--fault" if parsed.fault else "--models"
        raise UsageError(f"{other} and --cassette cannot be combined", hint="leave one of them out")
    application = Player(parsed.cassette) if parsed.cassette else Emulator(faults=parsed.fault, models=parsed.models)
    try:
        serve(application, port=parsed.port, ready=ready)
    except OSError as error:
        raise UsageError(
            f"cannot listen on port {parsed.port}: {error.strerror}",
            hint="choose another port, or --port 0 for a free one",
        ) from None
    return 0
