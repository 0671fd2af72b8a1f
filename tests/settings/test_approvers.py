"""The configuration, and the lists that narrow it, determine who may decide approvals."""

import getpass
import grp
import os

import pytest

from kosmolua.errors import PermissionDeniedError, UsageError
from kosmolua.settings import approvers
from kosmolua.settings.approvers import Rules
from kosmolua.settings.config import Approving

GROUPS = {"finance": ["bo", "cy"], "oncall": ["cy", "dora"]}


@pytest.mark.parametrize(
    ("configured", "narrowed", "expected"),
    [
        (None, [], None),
        (None, [["ana", "@finance"]], ["ana", "@finance"]),
        (["ana", "group:finance"], [], ["ana", "@finance"]),
        (["ana", "group:finance"], [["@finance"]], ["@finance"]),
        (["ana", "@finance"], [["group:finance", "ana"]], ["@finance", "ana"]),
        (["ana", "@finance"], [["bo"]], ["bo"]),
        (["bo"], [["@finance"]], ["bo"]),
        (["@finance"], [["@oncall"]], ["cy"]),
        (["@finance"], [["@oncall"], ["bo"]], []),
        (["ana"], [["zoe"]], []),
        ([], [["ana"]], []),
    ],
)
def test_lists_only_narrow(configured, narrowed, expected):
    """The names that remain are those that every list allows."""
    rules = Rules(Approving(approvers=configured, groups=GROUPS), tuple(narrowed))

    assert expected == rules.names
    for each in ("ana", "bo", "cy", "dora", "zoe"):
        lists = [one for one in (configured, *narrowed) if one is not None]
        allowed = all(each in one or any(each in GROUPS[g.strip("@").removeprefix("group:")] for g in one
                      if g.startswith(("@", "group:"))) for one in lists)  # fmt: skip
        assert allowed == (rules.objection(each, "sam") is None)


def test_a_person_with_the_name_of_a_group():
    """A person with a group's name is not in that group, nor is a person whose name contains a group name."""
    rules = Rules(Approving(approvers=["group:finance", "@oncall"], groups=GROUPS))

    assert [] == [
        each for each in ("group:finance", "@finance", "@oncall", "finance", "") if not rules.objection(each, "")
    ]


@pytest.mark.parametrize(
    ("settings", "submitter", "expected"),
    [
        (Approving(), "sam", False),
        (Approving(approvers=["sam"]), "sam", True),
        (Approving(approvers=["sam"], own=True), "sam", False),
        (Approving(approvers=["@finance"], groups={"finance": ["sam"]}), "sam", True),
        (Approving(approvers=["@finance"], groups={"finance": []}), None, True),
        (Approving(approvers=["sam", "ana"]), "sam", False),
    ],
)
def test_whether_nobody_may_decide(settings, submitter, expected):
    """The submitter does not count as an approver, unless the configuration allows it."""
    assert expected == Rules(settings).nobody(submitter)


def test_the_names_of_the_flag():
    """The flag accepts each configured name and group once; without configured approvers, also those of the machine."""
    user, group = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    listed = Approving(approvers=["ana", "group:finance"], groups=GROUPS)

    assert approvers.chosen(listed, None) is None
    assert ["bo", "ana", "@finance", "@oncall"] == approvers.chosen(listed, "bo, ana,@finance,group:oncall,ana")
    assert [user, f"@{group}", "bo"] == approvers.chosen(Approving(groups=GROUPS), f"{user},@{group},bo")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zoe", "--approvers: 'zoe' is not among approvals.approvers; expected some of: ana, @finance"),
        ("ana,@staff-of-mars", "--approvers: '@staff-of-mars' is not among"),
        ("finance", "--approvers: 'finance' is not among"),
        ("group:finance-2", "--approvers: '@finance-2' is not among"),
        ("", "--approvers: expected up to 100 names separated by commas, got ''"),
        ("ana,,bo", "--approvers: expected up to 100 names"),
        ("ana,@", "--approvers: expected up to 100 names"),
        (",".join(f"n{each}" for each in range(101)), "--approvers: expected up to 100 names"),
        ("r8_" + "a" * 37, "--approvers: (hidden: it looks like a token) is not among"),
        ("a\0b", "--approvers: 'a\\x00b' is not among"),
    ],
)
def test_an_unknown_name(text, message):
    """An unknown name is an error at the start, which lists the known names."""
    with pytest.raises(UsageError) as caught:
        approvers.chosen(Approving(approvers=["ana", "group:finance"], groups=GROUPS), text)

    assert message in caught.value.message


@pytest.mark.parametrize("text", ["no-such-user", "@no-such-group", "a\0b", "@\0"])
def test_without_approvers_in_the_configuration(text):
    """Each name must be a user or group of the machine, or be listed in the section."""
    with pytest.raises(UsageError) as caught:
        approvers.chosen(Approving(groups=GROUPS, act_as=["robot"]), text)

    assert "is neither in [approvals] of the configuration nor a user or group of this machine" in caught.value.message
    assert caught.value.message.endswith("expected some of: @finance, @oncall, robot")


def test_who_is_shown_as_approver():
    """The text names the approvers, and excepts a submitter who may not decide."""
    assert "anybody with access to the approvals" == approvers.who(None, "sam", submitters=True)
    assert "anybody with access to the approvals, except sam, who submitted the run" == (
        approvers.who(None, "sam", submitters=False)
    )
    assert "ana" == approvers.who(["ana", "sam"], "sam", submitters=False)
    assert "@finance, except sam, who submitted the run" == approvers.who(["@finance", "sam"], "sam", submitters=False)
    assert "nobody" == approvers.who(["sam"], "sam", submitters=False)


def test_a_refusal_names_the_approvers():
    """A person who may not decide gets a refusal that names the approvers."""
    with pytest.raises(PermissionDeniedError) as caught:
        Rules(Approving(), (["ana", "@finance"],)).check("zoe", "sam")

    assert "zoe may not decide this: not among the approvers of this run (ana, @finance)" == caught.value.message
