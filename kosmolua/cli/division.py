"""Divide the arguments of `kosmo lua` into those of the command and those of the script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kosmolua.errors import UsageError

# Options that the user probably meant for the run, even after an argument of the script, where the run ignores them.
_PROTECTING = frozenset(
    {"--emulate", "--dry-run", "--read", "--write", "--force", "--account", "--isolation", "--wait-for-approval"}
    | {"--journal", "--record", "--replay", "--report"}
    | {f"--{what}-limit" for what in ("cpu", "memory", "output", "time")}
)
_LIMITS = ("--max-", "--allow-")
_LEAST = 0.75  # similarity of a mistyped option, up to 1


def divided(argv: Sequence[str], options: Mapping[str, bool]) -> tuple[list[str], list[str]]:
    """The arguments of the command, and those of the script. The latter begin after ``--``, or with the first argument
    after FILE or ``--eval CODE``
    that is a word or an unknown option. ``options`` maps each option of the command to whether it takes a value.
    """
    at, has_script = 0, False
    while at < len(argv):
        word = argv[at]
        name = word.partition("=")[0]
        if word == "--":
            return [*argv[:at]], [*argv[at + 1 :]]
        if word == "-" or not word.startswith("-"):
            if has_script:
                return _at(argv, at)
            has_script = True
        elif name in options:
            has_script = has_script or name in {"-e", "--eval"}
            at += options[name] and "=" not in word
        elif word[:2] in options and not word.startswith("--"):
            has_script = has_script or word.startswith("-e")
        elif has_script and not _is_mistyped(name, options):
            return _at(argv, at)
        at += 1
    return [*argv], []


def _at(argv: Sequence[str], at: int) -> tuple[list[str], list[str]]:
    """Divide at the script's first argument. Raises a `UsageError` if an option that protects the run comes later."""
    own, rest = [*argv[:at]], [*argv[at:]]
    if "--" in rest and not any(word.startswith("-") for word in rest[: rest.index("--")]):
        raise UsageError(f"unexpected argument {rest[0]!r} before --", hint=f"put it after --: -- {rest[0]}")
    for word in rest:
        name = word.partition("=")[0]
        if name in _PROTECTING or name.startswith(_LIMITS):
            raise UsageError(
                f"{name} after the script's argument {rest[0]!r} would go to the script, not to the run",
                hint=f"put {name} before the script, or all arguments of the script after --",
            )
    return own, rest


def _is_mistyped(name: str, options: Mapping[str, bool]) -> bool:
    from kosmolua.replicate.nearest import nearest

    return bool(nearest(name, options, least=_LEAST))
