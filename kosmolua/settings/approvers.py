"""Who may decide an approval, by the section ``[approvals]`` of the configuration."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

from kosmolua.errors import PermissionDeniedError
from kosmolua.replicate.token import quoted
from kosmolua.settings.config import Approving

GROUP = "group:"


def current() -> str:
    """The name of the user of the operating system who runs this process."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # the user of a container may have no entry
        return f"uid {os.getuid()}"


def identity(settings: Approving, named: str | None) -> tuple[str, str | None]:
    """The person who decides, and the person who acts on their behalf, if any. Raises a `PermissionDeniedError`."""
    caller = current()
    if named is None or named == caller:
        return caller, None
    if not _is_among(caller, settings.act_as):
        raise PermissionDeniedError(
            f"--as {quoted(named)}: {caller} may not decide on behalf of others",
            hint=f'allow it in config.toml: approvals.act_as = ["{caller}"], or omit --as',
        )
    return named, caller


def check(settings: Approving, by: str, submitted_by: str | None, *, own: bool = False) -> None:
    """Raise a `PermissionDeniedError` if this person may not decide for a run of that person. ``own`` is the rule for
    submitters if the configuration has none.
    """
    error = objection(settings, by, submitted_by, own=own)
    if error:
        raise PermissionDeniedError(f"{by} may not decide this: {error[0]}", hint=error[1])


def objection(settings: Approving, by: str, submitted_by: str | None, *, own: bool = False) -> tuple[str, str] | None:
    """The reason why a person may not decide, and what to do; None if the person may."""
    if settings.approvers is not None and not _is_among(by, settings.approvers):
        listed = ", ".join(settings.approvers) or "nobody"
        return f"not among approvals.approvers ({listed})", "ask one of them, or change approvals.approvers"
    allowed = own if settings.own is None else settings.own
    if by == submitted_by and not allowed:
        return "whoever submitted a run does not approve it", (
            "ask somebody else, or allow it in config.toml: approvals.own = true"
        )
    return None


def _is_among(name: str, allowed: Sequence[str]) -> bool:
    if name in allowed:
        return True
    groups = [each.removeprefix(GROUP) for each in allowed if each.startswith(GROUP)]
    return any(name in _members(group) for group in groups)


@cache
def _members(group: str) -> frozenset[str]:
    """The users of a group of the operating system; none if there is no such group."""
    import grp
    import pwd

    try:
        found = grp.getgrnam(group)
    except KeyError:
        return frozenset()
    primary = (user.pw_name for user in pwd.getpwall() if user.pw_gid == found.gr_gid)
    return frozenset([*found.gr_mem, *primary])
