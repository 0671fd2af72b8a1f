"""Who may decide an approval: the configuration's section ``[approvals]``, narrowed by the flag ``--approvers``."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from msgspec import Struct

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.replicate.token import quoted
from kosmolua.settings.config import Approving

FLAG = "--approvers"
GROUP, SHORT = "group:", "@"  # a group's name begins with one of these
MOST = 100  # names in one flag
THROUGH, ANYBODY = "kosmo serve", "kosmo serve without a login"  # the console: who acts for those who decide in it


def current() -> str:
    """The name of the operating-system user who runs this process."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user may have no entry
        return f"uid {os.getuid()}"


def identity(settings: Approving, named: str | None) -> tuple[str, str | None]:
    """The person who decides, and the person who acts on that person's behalf, if any. Raises a
    `PermissionDeniedError`.
    """
    caller = current()
    if named is None or named == caller:
        return caller, None
    error = Rules(settings).objection_to_acting(caller)
    if error:
        raise PermissionDeniedError(f"--as {quoted(named)}: {error[0]}", hint=f"{error[1]}, or omit --as")
    return named, caller


class Rules(Struct, frozen=True):
    """The configuration, and lists that narrow it: a person who decides is in all of them. ``own`` is the rule for
    submitters if the configuration has none.
    """

    settings: Approving
    narrowed: tuple[Sequence[str], ...] = ()
    own: bool = False

    @property
    def submitters(self) -> bool:
        """Whether submitters may approve."""
        return self.own if self.settings.own is None else self.settings.own

    @property
    def names(self) -> list[str] | None:
        """The names and groups that may decide, possibly including the submitter; None if anybody may decide."""
        found = self.settings.approvers
        for each in self.narrowed:
            found = list(each) if found is None else self._among_both(found, each)
        return None if found is None else [short(each) for each in dict.fromkeys(found)]

    def _among_both(self, wide: Sequence[str], narrow: Sequence[str]) -> list[str]:
        """The entries in both lists. A group in only one list is replaced by those of its members that the other
        allows.
        """
        wide, narrow = _plain(wide), _plain(narrow)
        found = [each for each in narrow if each in wide]
        for these, those in ((narrow, wide), (wide, narrow)):
            for each in these:
                if each in found:
                    continue
                found += [one for one in _persons(self.settings, each) if _is_among(self.settings, one, those)]
        return found

    def nobody(self, submitted_by: str | None) -> bool:
        """Whether nobody may approve a run of that submitter."""
        names = self.names
        if names is None:
            return False
        persons = {one for each in _plain(names) for one in _persons(self.settings, each)}
        return not persons - ({submitted_by} if not self.submitters else set())

    def objection(self, by: str, submitted_by: str | None) -> tuple[str, str] | None:
        """Why a person may not approve a run of that submitter, and what to do; None if the person may."""
        allowed = self.settings.approvers
        if allowed is not None and not _is_among(self.settings, by, allowed):
            return (
                f"not among approvals.approvers ({listed(allowed)})",
                "ask one of them, or change approvals.approvers",
            )
        for each in self.narrowed:
            if not _is_among(self.settings, by, each):
                return f"not among the approvers of this run ({listed(each)})", "ask one of them"
        if by == submitted_by and not self.submitters:
            return "the submitter of a run may not approve it", (
                "ask somebody else, or allow it in config.toml: approvals.own = true"
            )
        return None

    def objection_to_acting(self, acting: str | None) -> tuple[str, str] | None:
        """The reason why a person may not have decided on behalf of another, and what to do; None if they may."""
        if acting is None or acting in (THROUGH, ANYBODY) or _is_among(self.settings, acting, self.settings.act_as):
            return None
        return (
            f"{acting} may not decide on behalf of others",
            f'allow it in config.toml: approvals.act_as = ["{acting}"]',
        )

    def check(self, by: str, submitted_by: str | None) -> None:
        """Raise a `PermissionDeniedError` if this person may not decide about a run of that submitter."""
        error = self.objection(by, submitted_by)
        if error:
            raise PermissionDeniedError(f"{by} may not decide this: {error[0]}", hint=error[1])


def listed(names: Iterable[str]) -> str:
    """Names and groups as text for a message."""
    return ", ".join(names) or "nobody"


def short(name: str) -> str:
    """The name as people write it: a group is "@NAME"."""
    return SHORT + name.removeprefix(GROUP) if name.startswith(GROUP) else name


def _plain(names: Iterable[str]) -> list[str]:
    """The names in the form that is stored: a group is "group:NAME"."""
    return [GROUP + each.removeprefix(SHORT) if each.startswith(SHORT) else each for each in names]


def who(names: Sequence[str] | None, submitted_by: str | None, *, submitters: bool | None) -> str:
    """Who may decide, as text. ``submitters`` says whether submitters may approve; None if that is unknown."""
    others = [each for each in names or () if submitters is not False or each != submitted_by]
    found = "anybody with access to the approvals" if names is None else listed(others)
    excluded = submitters is False and submitted_by is not None and (names is None or any(_is_group(n) for n in names))
    return f"{found}, except {submitted_by}, who submitted the run" if excluded else found


def _is_group(name: str) -> bool:
    return name.startswith((GROUP, SHORT))


# The flag ---------------------------------------------------------------------------------------------------------


def chosen(settings: Approving, text: str | None) -> list[str] | None:
    """The approvers that ``--approvers`` names, such as "ana,@finance"; None without it. Raises a `UsageError` for one
    that the configuration does not know.
    """
    if text is None:
        return None
    names = _plain(dict.fromkeys(each.strip() for each in text.split(",")))
    if not all(each.removeprefix(GROUP) for each in names) or len(names) > MOST:
        raise UsageError(
            f"{FLAG}: expected up to {MOST} names separated by commas, got {quoted(text)}", hint=f"{FLAG} ana,@finance"
        )
    for each in names:
        if not _is_known(settings, each):
            raise _unknown(settings, each)
    return [short(each) for each in names]


def _is_known(settings: Approving, name: str) -> bool:
    allowed = settings.approvers
    if allowed is not None:
        return name in _plain(allowed) or any(_is_among(settings, each, allowed) for each in _persons(settings, name))
    if name.startswith(GROUP):
        return name.removeprefix(GROUP) in settings.groups or _has_group(name.removeprefix(GROUP))
    configured = {*settings.act_as, *(each for members in settings.groups.values() for each in members)}
    return name in configured or _has_user(name)


def _unknown(settings: Approving, name: str) -> UsageError:
    if settings.approvers is not None:
        what, known = "is not among approvals.approvers", [short(each) for each in settings.approvers]
    else:
        what = "is neither in [approvals] of the configuration nor a user or group of this machine"
        known = [*(SHORT + each for each in settings.groups), *settings.act_as]
    found = f"; expected some of: {listed(known)}" if known else ""
    return UsageError(
        f"{FLAG}: {quoted(short(name))} {what}{found}",
        hint="check the spelling, or add it to approvals.approvers in config.toml",
    )


# Users and groups -------------------------------------------------------------------------------------------------


def _is_among(settings: Approving, name: str, allowed: Sequence[str]) -> bool:
    """Whether a person is in a list. A configured group takes precedence over one of the operating system."""
    if _is_group(name):  # no person has a name like this
        return False
    groups = [each for each in _plain(allowed) if each.startswith(GROUP)]
    return name in allowed or any(name in _members(settings, group) for group in groups)


def _persons(settings: Approving, name: str) -> list[str]:
    """The members of a group, or the person with that name."""
    return sorted(_members(settings, name)) if name.startswith(GROUP) else [name]


def _members(settings: Approving, group: str) -> frozenset[str]:
    """The users in a group, "group:NAME"; empty if the group does not exist."""
    name = group.removeprefix(GROUP)
    return frozenset(settings.groups[name]) if name in settings.groups else _users(name)


def _has_user(name: str) -> bool:
    import pwd

    try:
        pwd.getpwnam(name)
    except (KeyError, ValueError):
        return False
    return True


def _has_group(name: str) -> bool:
    import grp

    try:
        grp.getgrnam(name)
    except (KeyError, ValueError):
        return False
    return True


def _users(group: str) -> frozenset[str]:
    """The users in a group of the operating system; empty if the group does not exist."""
    import grp
    import pwd

    try:
        found = grp.getgrnam(group)
    except (KeyError, ValueError):
        return frozenset()
    primary = (user.pw_name for user in pwd.getpwall() if user.pw_gid == found.gr_gid)
    return frozenset([*found.gr_mem, *primary])
