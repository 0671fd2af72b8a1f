"""A decision depends only on the rules and the operation; without a rule the call is denied."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kosmolua.errors import ConfigurationError
from kosmolua.gate.functions import resolve
from kosmolua.gate.policy import Call, Decision, Policy, decide, may_be, policy_of
from kosmolua.settings import config

READ, WRITE, SECRET = resolve("get_account"), resolve("create_prediction"), resolve("get_default_webhook_secret")


def rules(read="allow", write="ask"):
    return policy_of(config.load({}, read=read, write=write))


@pytest.mark.parametrize("verdict", ["allow", "ask", "deny"])
def test_each_class_has_its_verdict(verdict):
    """The rule of the access class decides, and the decision names it with its origin."""
    assert Decision(verdict, f"read={verdict} (--read)", "--read") == decide(rules(read=verdict), Call(READ))
    assert Decision(verdict, f"write={verdict} (--write)", "--write") == decide(rules(write=verdict), Call(WRITE))


def test_without_a_rule_a_call_is_denied():
    """A call that no rule matches is denied."""
    assert Decision("deny", "no rule") == decide(Policy(), Call(READ))


def test_an_unknown_verdict_denies():
    """An unknown verdict counts as deny."""
    settings = config.Settings(
        url=config.DEFAULTS.url, read=config.Value("alow", "file"), write=config.Value("", "file")
    )

    assert ("deny", "deny") == tuple(
        decide(policy_of(settings), Call(operation)).verdict for operation in (READ, WRITE)
    )


@pytest.mark.parametrize(
    ("read", "from_script", "verdict"),
    [("allow", True, "ask"), ("allow", False, "allow"), ("ask", True, "ask"), ("deny", True, "deny")],
)
def test_a_script_needs_approval_for_the_secret(read, from_script, verdict):
    """An allow for reads does not give a script the webhook secret."""
    assert verdict == decide(rules(read=read), Call(SECRET, from_script=from_script)).verdict


def test_defaults():
    """Reads are allowed and writes need approval, with "default" as the origin."""
    assert ("read=allow (default)", "write=ask (default)") == tuple(
        decide(policy_of(config.DEFAULTS), Call(operation)).rule for operation in (READ, WRITE)
    )


# Rules ------------------------------------------------------------------------------------------------------------


def ruled(*said, read="allow", write="ask", **flags):
    """The policy with rules from one file, each rule as a TOML table."""
    settings = config.load({}, **flags)
    classes = {"read": config.Value(read, "file"), "write": config.Value(write, "file")}
    given = {name: value for name, value in classes.items() if name not in flags}
    listed = tuple(("config.toml", msgspec.convert(rule, config.Rule)) for rule in said)
    return policy_of(msgspec.structs.replace(settings, rules=listed, **given))


def creating(account="default", **arguments):
    return Call(WRITE, account, {"input": {}, **arguments}, from_script=True)


@pytest.mark.parametrize(
    ("rules", "call", "verdict", "deciding"),
    [
        ([{"verdict": "deny", "functions": "create_*"}], creating(), "deny", 1),
        ([{"verdict": "deny", "functions": "delete_*"}], creating(), "allow", None),
        # A name beats a glob, a longer glob a shorter one, and conditions beat both, in any order.
        ([{"verdict": "deny"}, {"verdict": "allow", "functions": "create_*"}], creating(), "allow", 2),
        ([{"verdict": "allow", "functions": "create_*"}, {"verdict": "deny"}], creating(), "allow", 1),
        ([{"verdict": "ask", "functions": "create_prediction"}, {"verdict": "deny", "functions": "create_*"}],
         creating(), "ask", 1),
        ([{"verdict": "deny", "functions": "create_prediction"}, {"verdict": "allow", "account": "work"}],
         creating("work"), "allow", 2),
        ([{"verdict": "deny", "functions": "create_prediction"}, {"verdict": "allow", "account": "work"}],
         creating(), "deny", 1),
        # Of equally specific rules the strictest applies.
        ([{"verdict": "allow", "functions": "create_*"}, {"verdict": "deny", "functions": "create_*"}],
         creating(), "deny", 2),
        ([{"verdict": "ask", "functions": ["create_*", "get_*"]}, {"verdict": "allow", "functions": "create_*"}],
         creating(), "ask", 1),
        # A rule applies to a model, however the call names it.
        ([{"verdict": "deny", "arguments": {"model": "meta/*"}}], creating(version="meta/llama"), "deny", 1),
        ([{"verdict": "deny", "arguments": {"model": "Meta/*"}}], creating(version="META/llama:abc"), "deny", 1),
        ([{"verdict": "deny", "arguments": {"model": "meta/*"}}], creating(version="metal/x"), "allow", None),
        ([{"verdict": "deny", "arguments": {"input.steps": 50}}], creating(input={"steps": 50}), "deny", 1),
        ([{"verdict": "deny", "arguments": {"input.steps": 50}}], creating(input={"steps": 51}), "allow", None),
        ([{"verdict": "deny", "arguments": {"input.steps": 50}}], creating(input={"steps": 50.0}), "deny", 1),
        ([{"verdict": "deny", "arguments": {"input.steps": 50.0}}], creating(input={"steps": 50}), "deny", 1),
        ([{"verdict": "deny", "arguments": {"input.scale": 0.5}}], creating(input={"scale": 0.5}), "deny", 1),
        ([{"verdict": "deny", "arguments": {"input.safe": False}}], creating(input={"safe": False}), "deny", 1),
    ],
)  # fmt: skip
def test_the_most_specific_rule_decides(rules, call, verdict, deciding):
    """Of equally specific rules the strictest decides; if no rule matches, the rule of the access class decides."""
    found = decide(ruled(*(for_write(rule) for rule in rules), write="allow"), call)

    assert verdict == found.verdict
    assert (f"rule {deciding})" if deciding else "write=allow (file)") in found.rule


def for_write(rule):
    """A rule with conditions on arguments must name functions that have these arguments."""
    return {"functions": "create_prediction", **rule} if "arguments" in rule else rule


@pytest.mark.parametrize("version", ["5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa", None])
@pytest.mark.parametrize("verdict", ["allow", "deny", "ask"])
def test_a_call_without_its_model_is_treated_strictly(verdict, version):
    """A bare version hides its model: rules on models can then only tighten, and the decision says so."""
    rule = {"verdict": verdict, "functions": "create_prediction", "arguments": {"model": "meta/*"}}
    found = decide(ruled(rule, write="ask"), creating(**({"version": version} if version else {})))

    assert {"allow": "ask", "ask": "ask", "deny": "deny"}[verdict] == found.verdict
    assert (verdict == "deny") == ("does not determine its model" in found.rule)


def test_no_rule_allows_what_a_flag_forbids():
    """No rule allows what --write deny forbids; but --write allow yields to a rule."""
    rule = {"verdict": "allow", "functions": "create_prediction"}

    assert "allow" == decide(ruled(rule, write="deny"), creating()).verdict
    assert "deny" == decide(policy_with_flag(rule, "deny"), creating()).verdict
    assert "ask" == decide(policy_with_flag(rule, "ask"), creating()).verdict
    assert "deny" == decide(policy_with_flag({**rule, "verdict": "deny"}, "allow"), creating()).verdict


def policy_with_flag(rule, write):
    settings = config.load({}, write=write)
    return policy_of(msgspec.structs.replace(settings, rules=(("config.toml", config.Rule(**rule)),)))


def test_a_secret_needs_a_rule_with_its_name():
    """A matching glob does not allow a script to read the signing key."""
    for functions, verdict in (("*", "ask"), ("get_*", "ask"), (SECRET.name, "allow")):
        policy = ruled({"verdict": "allow", "functions": functions})
        assert verdict == decide(policy, Call(SECRET, from_script=True)).verdict, functions


@pytest.mark.parametrize(
    ("rule", "needle", "hint"),
    [
        ({"functions": "create_predicton"}, ("config.toml, rule 1: unknown function 'create_predicton'; did you "
         "mean create_prediction?"), "kosmo integrations:replicate"),
        ({"functions": "get_account", "arguments": {"modle": "x"}}, "has an argument 'modle'", "model"),
        ({"functions": []}, "`functions` is empty", "functions"),
    ],
)  # fmt: skip
def test_a_rule_without_effect_is_an_error(rule, needle, hint):
    """A rule without effect may have been meant to deny, so it is not ignored."""
    with pytest.raises(ConfigurationError) as caught:
        ruled({"verdict": "deny", **rule})

    assert needle in caught.value.message
    assert hint in caught.value.hint


@given(
    st.lists(
        st.builds(
            dict,
            verdict=st.sampled_from(["allow", "ask", "deny"]),
            functions=st.sampled_from(["*", "create_*", "create_prediction", "get_*"]),
            account=st.sampled_from([None, "*", "default", "work", "w*"]),
        ),
        max_size=6,
    ),
    st.sampled_from(["default", "work"]),
    st.randoms(),
)
def test_the_order_of_rules_never_matters(rules, account, random):
    """If a rule that denies the call is added, the call is always denied."""
    shuffled = random.sample(rules, len(rules))
    call = creating(account)
    exact = {"verdict": "deny", "functions": "create_prediction", "account": account}

    assert decide(ruled(*rules), call).verdict == decide(ruled(*shuffled), call).verdict
    assert "deny" == decide(ruled(*rules, exact), call).verdict


@given(
    st.lists(
        st.builds(
            dict,
            verdict=st.sampled_from(["allow", "ask", "deny"]),
            functions=st.sampled_from(["*", "create_*", "create_prediction", "get_*"]),
            account=st.sampled_from([None, "*", "default", "work"]),
            arguments=st.sampled_from([{}, {"model": "a/*"}, {"model": "a/b"}]),
        ),
        max_size=5,
    ),
    st.sampled_from(["allow", "ask", "deny"]),
    st.booleans(),
)
def test_a_function_that_can_never_be_called(rules, write, by_flag):
    """A function that is never callable is denied for all arguments; for any other function some call is allowed."""
    ceilings = frozenset({"write"} if by_flag else ())
    policy = msgspec.structs.replace(ruled(*rules, write=write), ceilings=ceilings)
    models = ({"version": "a/b"}, {"version": "a/c"}, {"version": "b/b"}, {"version": "bare"})
    verdicts = {decide(policy, creating(**arguments)).verdict for arguments in models}

    assert may_be(policy, creating()) == (verdicts != {"deny"})


def test_absent_arguments_match_no_condition():
    """A rule about webhooks matches calls that have one; an incomplete call may still get one."""
    policy = ruled({"verdict": "deny", "arguments": {"webhook": "*"}}, write="allow")
    made = msgspec.structs.replace(creating(version="v"), complete=True)
    hooked = msgspec.structs.replace(creating(version="v", webhook="https://evil.example/x"), complete=True)

    assert ["allow", "deny", "deny"] == [decide(policy, call).verdict for call in (made, hooked, creating())]


def test_rules_for_other_functions_are_skipped():
    """Rules are sorted by function once; a function without rules is decided by its access class."""
    said = tuple(
        (
            "config.toml",
            config.Rule("deny", f"{verb}_*", arguments={"model": f"owner/m{n}"} if verb == "create" else {}),
        )
        for n in range(20)
        for verb in ("create", "delete")
    )
    in_force = policy_of(config.Settings(rules=said))

    assert () == in_force.naming(resolve("get_account"))
    assert 20 == len(in_force.naming(resolve("create_prediction")))
    assert in_force.naming(resolve("create_prediction")) is in_force.naming(resolve("create_prediction"))
