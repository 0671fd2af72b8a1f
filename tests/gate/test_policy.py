"""Decisions are a pure function of rules and operation; where nothing is said the answer is no."""

import pytest

from kosmolua import config
from kosmolua.gate.policy import Decision, decide, rules_of
from kosmolua.gate.session import resolve

READ, WRITE, SECRET = resolve("get_account"), resolve("create_prediction"), resolve("get_default_webhook_secret")


def rules(read="allow", write="ask"):
    return rules_of(config.load({}, read=read, write=write))


@pytest.mark.parametrize("verdict", ["allow", "ask", "deny"])
def test_each_class_has_its_verdict(verdict):
    """The rule of the operation's access class decides, and is named with its origin."""
    assert Decision(verdict, f"read={verdict} (--read)") == decide(rules(read=verdict), READ)
    assert Decision(verdict, f"write={verdict} (--write)") == decide(rules(write=verdict), WRITE)


def test_no_rule_is_a_no():
    """Where no rule speaks the call is denied."""
    assert Decision("deny", "no rule") == decide((), READ)


def test_a_verdict_that_is_none_is_the_strictest():
    """A setting that nobody understands denies."""
    settings = config.Settings(
        url=config.DEFAULTS.url, read=config.Value("alow", "file"), write=config.Value("", "file")
    )

    assert ("deny", "deny") == tuple(decide(rules_of(settings), operation).verdict for operation in (READ, WRITE))


@pytest.mark.parametrize(
    ("read", "from_script", "verdict"),
    [("allow", True, "ask"), ("allow", False, "allow"), ("ask", True, "ask"), ("deny", True, "deny")],
)
def test_a_secret_is_asked_for_from_scripts(read, from_script, verdict):
    """Allowing reads does not hand a script the key that signs webhooks."""
    assert verdict == decide(rules(read=read), SECRET, from_script=from_script).verdict


def test_defaults():
    """Reads are allowed and writes asked for, and both say that it is the default."""
    assert ("read=allow (default)", "write=ask (default)") == tuple(
        decide(rules_of(config.DEFAULTS), operation).rule for operation in (READ, WRITE)
    )
