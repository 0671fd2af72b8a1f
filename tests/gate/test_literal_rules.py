"""Rules are literal: numbers match in any spelling, models in any form, and "always" allows exactly what was asked."""

import pytest

from kosmolua.errors import ConfigurationError, PermissionDeniedError
from kosmolua.gate.budget import Budget, Caps
from kosmolua.gate.functions import resolve
from kosmolua.gate.needs import Needs
from kosmolua.gate.policy import Call, decide, narrow_rule, policy_of
from kosmolua.gate.prompt import Question, Scripted, render
from kosmolua.gate.run import Run
from kosmolua.gate.session import Session
from kosmolua.replicate.client import Client
from kosmolua.settings import config

VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
DEPLOYMENT = {
    "name": "d",
    "model": "a/b",
    "version": VERSION,
    "hardware": "cpu",
    "min_instances": 0,
    "max_instances": 1,
}


def ruled(*rules, write="allow"):
    said = tuple(("config.toml", config.Rule(**rule)) for rule in rules)
    return policy_of(config.Settings(rules=said, write=config.Value(write, "config.toml")))


def verdict(policy, function, arguments):
    return decide(policy, Call(resolve(function), arguments=arguments, complete=True)).verdict


def about(value, decision="deny", name="input.n"):
    return {"verdict": decision, "functions": "create_prediction", "arguments": {name: value}}


FOUR = [
    4,
    4.0,
    "4",
    " 4",
    "4 ",
    "\t4\n",
    "+4",
    "4.0",
    "04",
    "4e0",
    "40E-1",
    "0.4e1",
    "4.",
    "004.000",
    "4_0e-1",
    "\u0664",
    "\uff14",
]


@pytest.mark.parametrize("rule", [4, 4.0])
@pytest.mark.parametrize("given", FOUR)
def test_a_number_matches_every_spelling(rule, given):
    """Every spelling that the API reads as the number matches, in rules that deny and in rules that allow."""
    arguments = {"version": VERSION, "input": {"n": given}}

    assert "deny" == verdict(ruled(about(rule)), "create_prediction", arguments)
    assert "allow" == verdict(ruled(about(rule, "allow"), write="deny"), "create_prediction", arguments)


@pytest.mark.parametrize("given", [5, "5", "4.5", "44", "4 4", "four", "", "nan", "1e999", [4], {"n": 4}, "4" * 5000])
def test_other_values_do_not_match_a_number(given):
    """A value that the API does not read as the number does not match."""
    assert "allow" == verdict(ruled(about(4)), "create_prediction", {"version": VERSION, "input": {"n": given}})


@pytest.mark.parametrize("given", ["0.1", ".1", "1e-1", 0.1, "0.10000000000000001"])
def test_a_fraction_is_compared_as_a_number(given):
    """Fractions are compared exactly, also with more digits than a double has."""
    assert "deny" == verdict(ruled(about(0.1)), "create_prediction", {"version": VERSION, "input": {"n": given}})


@pytest.mark.parametrize(
    ("rule", "given"), [(True, [True, "true", "True", " yes", 1, "1"]), (False, [False, "off", "0", 0])]
)
def test_a_boolean_matches_every_spelling(rule, given):
    """A boolean matches all words and numbers that the API reads as that boolean."""
    for value in given:
        arguments = {"version": VERSION, "input": {"n": value}}
        assert "deny" == verdict(ruled(about(rule)), "create_prediction", arguments), value
        assert "allow" == verdict(ruled(about(not rule)), "create_prediction", arguments), value


def test_text_is_compared_as_text():
    """A version that looks like a number is compared as text."""
    rule = {"verdict": "deny", "arguments": {"version": "2e10"}}

    assert "deny" == verdict(ruled(rule), "create_prediction", {"version": "2e10", "input": {}})
    assert "allow" == verdict(ruled(rule), "create_prediction", {"version": "20000000000", "input": {}})


# Models -----------------------------------------------------------------------------------------------------------

ODD = ["meta/x:", " meta/x", "meta/x ", "meta//x", "meta/x/y", "/meta/x", "meta", "Meta /x", "m\u0435ta/x", "a/b:v:w",
       "https://replicate.com/meta/x", "meta%2Fx", "meta/x\n", "\u3164meta/x", "*/*"]  # fmt: skip


@pytest.mark.parametrize("given", ODD)
@pytest.mark.parametrize("verb", ["deny", "ask"])
def test_an_unparsed_model_is_treated_strictly(given, verb):
    """For each function and argument, rules that refuse apply to the model, and rules that allow do not."""
    calls = [
        ("create_deployment", {**DEPLOYMENT, "model": given}),
        ("create_deployment", {**DEPLOYMENT, "version": given}),
        ("create_prediction", {"version": given, "input": {}}),
        ("update_deployment", {"deployment_owner": "a", "deployment_name": "d", "version": given}),
        (
            "create_training",
            {"model_owner": given, "model_name": "x", "version_id": "v", "destination": "a/b", "input": {}},
        ),
        ("create_model_prediction", {"model_owner": "meta", "model_name": given, "input": {}}),
        ("get_model", {"model_owner": given, "model_name": "x"}),
    ]
    if given == "meta":
        calls = calls[:1]  # for other functions it is an owner, or a bare version
    refusing = ruled({"verdict": verb, "arguments": {"model": "meta/*"}})
    allowing = ruled({"verdict": "allow", "arguments": {"model": "*"}}, write="deny")

    for function, arguments in calls:
        assert verb == verdict(refusing, function, arguments), function
        if function != "get_model":
            assert "deny" == verdict(allowing, function, arguments), function


def test_every_named_model_is_checked():
    """One denied model denies the call; one allowed model does not allow another."""
    arguments = {**DEPLOYMENT, "model": "acme/x", "version": f"meta/y:{VERSION}"}
    for model in ("acme/*", "meta/*"):
        assert "deny" == verdict(
            ruled({"verdict": "deny", "arguments": {"model": model}}), "create_deployment", arguments
        )
        allowing = ruled({"verdict": "allow", "arguments": {"model": model}}, write="deny")
        assert "deny" == verdict(allowing, "create_deployment", arguments)


@pytest.mark.parametrize("given", [" " + VERSION, "a/b", "a/b:", f"{VERSION}:", f"v/{VERSION}/x", "a b"])
def test_an_unparsed_version_is_treated_strictly(given):
    """A rule that denies a version also applies to text that cannot be parsed, and to any model with that version."""
    rule = ruled({"verdict": "deny", "arguments": {"version": VERSION}})

    assert "deny" == verdict(rule, "create_prediction", {"version": given, "input": {}})
    assert "deny" == verdict(rule, "create_prediction", {"version": f"a/b:{VERSION}", "input": {}})
    assert "allow" == verdict(rule, "create_prediction", {"version": "another", "input": {}})
    assert "deny" == verdict(
        rule, "delete_model_version", {"model_owner": "a", "model_name": "b", "version_id": VERSION}
    )


def test_an_unparsed_deployment_is_treated_strictly():
    """A rule that denies the deployment applies."""
    rule = ruled({"verdict": "deny", "arguments": {"deployment": "acme/*"}})
    call = {"deployment_owner": "other", "deployment_name": "x", "input": {}}

    assert "allow" == verdict(rule, "create_deployment_prediction", call)
    assert "deny" == verdict(rule, "create_deployment_prediction", {**call, "deployment_owner": " acme"})


@pytest.mark.parametrize("version", ["evil/x:1", "evil/x"])
def test_a_header_applies_to_every_named_model(version):
    """A model that the header does not declare is refused, even next to a declared one."""
    needs = Needs(models=("acme/*",))
    with pytest.raises(PermissionDeniedError):
        needs.check(Call(resolve("create_deployment"), arguments={**DEPLOYMENT, "model": "acme/x", "version": version}))


@pytest.mark.parametrize(
    "rule",
    [{"model": "meta"}, {"model": 4}, {"deployment": ""}, {"deployment": "x"}, {"input.n": float("nan")},
     {"input.n": float("inf")}],
)  # fmt: skip
def test_a_rule_that_can_never_match_is_an_error(rule):
    """Such a rule would never deny, although it seems to."""
    with pytest.raises(ConfigurationError, match=r"config.toml, rule 1: expected"):
        ruled({"verdict": "deny", "arguments": rule})


# Answers of people ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        ("create_prediction", {"version": "*/*", "input": {}}, {"version": "[*]/[*]"}),
        ("create_prediction", {"version": "[a-z]*/?", "input": {}}, {"version": "[[]a-z][*]/[?]"}),
        ("create_prediction", {"version": VERSION, "input": {}}, {"version": VERSION}),
        ("create_prediction", {"version": f"A/b:{VERSION}", "input": {}}, {"model": "a/b"}),
        ("delete_deployment", {"deployment_owner": "a", "deployment_name": "b"}, {"deployment": "a/b"}),
        ("delete_file", {"file_id": "f"}, {}),
    ],
)  # fmt: skip
def test_always_writes_a_literal_rule(function, arguments, expected):
    """The rule allows exactly that call, and nothing that its text would match as a pattern."""
    rule = narrow_rule(resolve(function), arguments, "acc*")
    policy = policy_of(config.Settings(rules=(("config.toml", rule),), write=config.Value("deny", "config.toml")))

    assert config.Rule("allow", function, "acc[*]", expected) == rule
    same = Call(resolve(function), "acc*", arguments, complete=True)
    assert "allow" == decide(policy, same).verdict
    other = Call(resolve("create_prediction"), "acc*", {"version": "other/model", "input": {}}, complete=True)
    assert "deny" == decide(policy, other).verdict
    assert "deny" == decide(policy, Call(resolve(function), "account", arguments, complete=True)).verdict


@pytest.mark.parametrize("model", ODD)
def test_no_rule_is_written_for_an_unparsed_model(model):
    """No safe rule exists for a model that cannot be parsed."""
    assert narrow_rule(resolve("create_deployment"), {**DEPLOYMENT, "model": model}, "default") is None


def test_a_price_is_accepted_only_for_the_target_in_question(server):
    """A yes for the run applies only to that version, deployment or model."""
    prompter = Scripted(["run"] * 8)
    budget = Budget(Caps(cost=1))
    connect = lambda _: Client(token="r8_token", base_url=server.url)  # noqa: E731
    with Session(connect, ruled(), prompter, run=Run(), budget=budget) as session:
        for version in (VERSION, VERSION, "other", "a/b:1", "a/b:2", "a/c", "*/*", "*/* "):
            session.call("create_prediction", {"version": version, "input": {}})

    versions = [question.arguments["version"] for question in prompter.asked]
    assert [VERSION, "other", "a/b:1", "a/c", "*/*", "*/* "] == versions


LOOK_ALIKE = "m\u0435ta\u3164"


@pytest.mark.parametrize("name", ["version", "model", "model_owner", "model_name", "deployment_owner", "destination"])
def test_names_in_a_question_are_ascii(name):
    """Look-alike and invisible letters in names are escaped."""
    shown = render(Question("f", "default", "write", {name: f"{LOOK_ALIKE}/x"}))

    assert "m\\u0435ta\\u3164/x" in shown
    assert shown.isascii()


def test_free_text_in_a_question_is_readable():
    """In free text only invisible characters are escaped."""
    shown = render(
        Question("f", "default", "write", {"input": {"prompt": "схема\u3164 日本"}, "description": "é\u2800"})
    )

    assert 'input: {"prompt":"схема\\u3164 日本"}' in shown
    assert 'description: "é\\u2800"' in shown


def test_the_rule_in_a_question_is_ascii():
    """The rule in a question is escaped like the names in it."""
    rule = config.Rule("allow", "f", "default", {"version": LOOK_ALIKE})

    shown = render(Question("f", "default", "write", {}, always=rule), columns=120)
    assert "where version is m\\u0435ta\\u3164" in shown
