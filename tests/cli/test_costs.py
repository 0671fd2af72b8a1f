"""Prices, budgets and the cost of calls on the command line."""

import json
import stat

import pytest
from recording_server import Answer

PRICES = """
source = "https://example.com/pricing"
date = 2026-10-30

[hardware]
gpu-t4 = 0.000225

[models]
"owner/images" = { image_output_count = 0.003 }
"owner/video" = { video_output_duration_seconds = 0.2, variants = [{ when = { with_audio = true }, run = 1.5 }] }
"""
RUN = "return replicate.create_prediction{ version = 'owner/images', input = { prompt = 'x', num_outputs = %s } }.id"


@pytest.fixture
def own(tmp_path):
    """Writes the user's configuration file."""

    def write(text):
        path = tmp_path / ".config" / "kosmolua" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


@pytest.fixture
def run(live):
    def made(count, *flags, **options):
        return live("lua", "--write", "allow", "--json", *flags, "-e", RUN % count, **options)

    return made


def answered(server, count, **more):
    data = {"id": "p1", "status": "succeeded", "metrics": {"predict_time": 2.5, "image_output_count": count}, **more}
    server.default = Answer(201, json.dumps(data).encode())


# Prices -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_price_file_is_imported(kosmo, tmp_path, form):
    """TOML and JSON files are imported. Each price is listed with its age and source, and only the owner can read the
    stored file."""
    import tomllib

    content = PRICES
    if form == "json":
        content = json.dumps({**tomllib.loads(PRICES), "date": "2026-10-30"})
    (tmp_path / f"prices.{form}").write_text(content)
    ran = kosmo("prices", "import", f"prices.{form}")
    assert (0, "") == (ran.status, ran.err)
    assert ran.out.startswith("imported 3 prices from https://example.com/pricing of 2026-10-30 into ")

    found = kosmo("prices", "list", "--json").json["prices"]
    assert ["gpu-t4", "owner/images", "owner/video"] == [each["name"] for each in found]
    assert {"https://example.com/pricing"} == {each["source"] for each in found}
    assert {"2026-10-30"} == {each["date"] for each in found}
    assert all(each["in_force"] and isinstance(each["age_days"], int) for each in found)
    assert {"image_output_count": 0.003} == found[1]["price"]
    assert 0o600 == stat.S_IMODE((tmp_path / ".config" / "kosmolua" / "prices.json").stat().st_mode)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("0.003", "-1"), "got -1 - at `prices.models.owner/images.image_output_count`"),
        (("image_output_count", "image_outputcount"), "did you mean image_output_count?"),
        (("date = 2026-10-30", ""), "missing `date`"),
        (('source = "https://example.com/pricing"', ""), "missing `source`"),
        (("[hardware]", "[hardware"), "line 5"),
        (("gpu-t4 = 0.000225", "gpu-t4 = nan"), "got nan"),
        ((PRICES, '{"date": "2026-10-30", "source": "x"}'), "no prices: expected a table"),
        ((PRICES, "[1]"), "cannot import"),
        ((PRICES, "\udcff"), "cannot import"),
    ],
)
def test_a_price_file_with_a_mistake_is_not_imported(kosmo, tmp_path, change, problem):
    """Nothing is imported from a file with a mistake, and earlier prices are kept."""
    (tmp_path / "good.toml").write_text(PRICES)
    kosmo("prices", "import", "good.toml")
    (tmp_path / "bad.toml").write_bytes(PRICES.replace(*change).encode(errors="surrogateescape"))
    ran = kosmo("prices", "import", "bad.toml")

    assert (2, "") == (ran.status, ran.out)
    assert problem in ran.err
    assert "Traceback" not in ran.err
    assert 3 == len(kosmo("prices", "--json").json["prices"])


def test_a_damaged_price_list_stops_only_calls_that_need_a_price(server, live, own, run, tmp_path):
    """With a damaged price list, only calls that need a price fail; the next import requires moving the list away."""
    path = own("").with_name("prices.json")
    path.write_text("[{]")
    answered(server, 1)
    refused = run(1)
    assert (4, True) == (refused.status, "cannot parse" in refused.json["error"])
    assert not server.requests
    assert 0 == live("integrations:replicate", "get_account").status
    (tmp_path / "prices.toml").write_text(PRICES)
    ran = live("prices", "import", "prices.toml")
    assert (4, True) == (ran.status, "move it away" in ran.err)
    assert "[{]" == path.read_text()


def test_which_prices_are_in_force(kosmo, tmp_path, own):
    """An import replaces earlier prices from the same source; prices in config.toml override all imported ones."""
    for name, source, date, price in (
        ("a", "a", "2026-03-01", 1),
        ("b", "b", "2026-02-01", 2),
        ("c", "b", "2026-01-01", 3),
    ):
        (tmp_path / f"{name}.toml").write_text(
            f'source = "{source}"\ndate = {date}\n[models]\n"o/n" = {{ run = {price} }}\n'
        )
        kosmo("prices", "import", f"{name}.toml")
    listed = [(each["source"], each["in_force"]) for each in kosmo("prices", "--json").json["prices"]]
    assert [("a", True), ("b", False)] == listed

    path = own('[replicate.prices.models]\n"O/N" = { run = 4 }\n')
    found = kosmo("prices", "--json").json["prices"]
    assert [(str(path), True), ("a", False), ("b", False)] == [(each["source"], each["in_force"]) for each in found]
    assert "(not in force)" in kosmo("prices").out


@pytest.mark.parametrize("table", ["[replicate.prices]", "[replicate.prices.models]"])
def test_models_may_be_in_either_table(kosmo, own, table):
    """The prices of models, whose names contain a slash, may be in either table."""
    own(f'{table}\n"owner/images" = {{ image_output_count = 0.003 }}\n')

    assert ["owner/images"] == [each["name"] for each in kosmo("prices", "--json").json["prices"]]


def test_an_invalid_price_is_reported_with_its_place(kosmo, own):
    """The error for an invalid price names its place, like other errors in the file."""
    own('[replicate.prices]\n"owner/images" = { image_outptu_count = 0.003 }\n')
    ran = kosmo("integrations:status")

    assert 4 == ran.status
    assert "config.toml: unknown metric `image_outptu_count`; did you mean image_output_count?" in ran.err


# What a run costs -------------------------------------------------------------------------------------------------


def test_imported_prices_apply_to_a_cost_limit(server, run, kosmo, tmp_path):
    """With imported prices, a call for four images is refused by a limit that allows two; nothing is sent."""
    (tmp_path / "prices.toml").write_text(PRICES)
    kosmo("prices", "import", "prices.toml")
    ran = run(4, "--max-cost", "0.006")

    assert (5, "limit_reached") == (ran.status, ran.json["code"])
    assert "this call may cost 0.012" in ran.json["error"]
    assert not server.requests


def test_the_cost_of_a_run_is_shown(server, run, live, own, tmp_path):
    """The envelope, the audit log, the report and the list of runs show the cost: three images were reserved, two were
    billed."""
    own('[replicate.prices]\n"owner/images" = { image_output_count = 0.003 }\n')
    answered(server, 2)
    ran = run(3, "--journal", "kept", "--report", "page.html")

    assert 0.006 == ran.json["meta"]["spent"]["cost"]
    assert "guessed" not in ran.json["meta"]
    assert (0.009, 0.006) == tuple(ran.json["call_log"][0][name] for name in ("estimate", "cost"))
    page = (tmp_path / "page.html").read_text()
    assert (True, True) == ("cost 0.006" in page, "<td>0.006</td>" in page)
    audit = live("audit", "--json").json
    assert (0.006, 0.006) == (audit["cost"], audit["entries"][-1]["cost"])
    assert "total cost of these calls: 0.006" in live("audit").out
    assert 0.006 == live("runs", "list", "--json").json["runs"][0]["spent"]["cost"]
    assert "0.006" in live("runs").out


def test_the_cost_of_one_call_is_shown(server, live, own):
    """The envelope has the cost of the call; an unknown price is not shown as zero."""
    own('[replicate.prices]\n"owner/images" = { image_output_count = 0.003 }\n')
    answered(server, 1)
    flags = ("--write", "allow", "--json", "--input.prompt", "x")
    known = live("integrations:replicate", "create_prediction", "--version", "owner/images", *flags).json["meta"]
    unknown = live("integrations:replicate", "create_prediction", "--version", "owner/other", *flags).json["meta"]

    assert (0.003, 0.003) == (known["estimate"], known["cost"])
    assert {"estimate", "cost"}.isdisjoint(unknown)


def test_estimated_cost_is_shown_separately(server, run, own):
    """The cost of a prediction whose end is unknown is the reserved amount."""
    own('[replicate.prices]\n"owner/images" = { image_output_count = 0.003 }\n')
    server.default = Answer(201, b'{"id": "p1", "status": "starting"}')
    meta = run(2).json["meta"]

    assert (0.006, 0.006) == (meta["spent"]["cost"], meta["guessed"]["cost"])
    assert 1 == run(2, env={"KOSMO_CONFIG_DIR": "/nowhere"}).json["meta"]["guessed"]["unpriced"]


# Budgets for several runs -----------------------------------------------------------------------------------------


def test_a_budget_is_set_changed_shown_and_removed(kosmo, own):
    """Setting, changing and removing a budget changes only that budget in config.toml."""
    before = '# mine\n[replicate.permissions]\nwrite = "ask"  # as is\n'
    path = own(before)
    assert 0 == kosmo("budget", "set", "daily", "--cost", "5", "--per", "day").status
    assert (
        0
        == kosmo("budget", "set", "other", "--predictions", "9", "--per", "month", "--timezone", "Europe/Berlin").status
    )
    assert 0 == kosmo("budget", "set", "daily", "--cost", "7.5", "--account", "work").status
    daily, other = kosmo("budget", "show", "--json").json["budgets"]

    assert ("daily", "day", 7.5, "work", "UTC") == tuple(
        daily[name] for name in ("name", "period", "cost", "account", "timezone")
    )
    assert (9, None, "Europe/Berlin") == (other["predictions"], other["cost"], other["timezone"])
    assert ["other"] == [each["name"] for each in kosmo("budget", "show", "other", "--json").json["budgets"]]
    assert "cost 7.5 a day, account work" in kosmo("budget").out
    assert 0 == kosmo("budget", "set", "daily", "--account", "any").status
    assert kosmo("budget", "--json").json["budgets"][0]["account"] is None
    assert path.read_text().startswith(before)
    assert (0, 0) == (kosmo("budget", "remove", "daily").status, kosmo("budget", "remove", "other").status)
    assert before == path.read_text()


@pytest.mark.parametrize(
    ("argv", "problem"),
    [
        (["set", "daily", "--cost", "5"], "no period for the new budget"),
        (["set", "daily", "--per", "day"], "neither cost nor predictions"),
        (["set", "daily", "--per", "day", "--cost", "1", "--timezone", "Mars/X"], "unknown time zone 'Mars/X'"),
        (["set", "daily", "--per", "year", "--cost", "1"], "invalid choice"),
        (["set", "daily", "--per", "day", "--cost", "-1"], "expected"),
        (["set"], "name the budget"),
        (["set", "daily"], "nothing to change"),
        (["set", "a\nb", "--per", "day", "--cost", "1"], "expected a unique budget name"),
        (["remove", "daily"], "no budget 'daily'"),
        (["show", "daily"], "no budget 'daily'"),
        (["show", "--cost", "1"], "does not take --cost"),
    ],
)
def test_a_budget_that_cannot_be_set(kosmo, argv, problem):
    """The error for an invalid budget has a hint, and no file is created."""
    ran = kosmo("budget", *argv)

    assert (2, "") == (ran.status, ran.out)
    assert problem in ran.err
    assert "Traceback" not in ran.err


def test_runs_share_a_budget(server, run, live, own):
    """At 80 % a warning is printed on standard error; a call beyond the budget gives exit status 5 with the budget's
    name and renewal time."""
    own(
        '[replicate.prices]\n"owner/images" = { image_output_count = 0.003 }\n'
        '[[replicate.budgets]]\nname = "daily"\nperiod = "day"\ncost = 0.015\n'
    )
    answered(server, 2)
    ran = [run(2) for _ in range(3)]

    assert [0, 0, 5] == [each.status for each in ran]
    assert "" == ran[0].err
    assert "budget 'daily' (cost 0.015 a day): 80% spent or reserved; it renews at " in ran[1].err
    assert (
        "budget 'daily' (cost 0.015 a day) has no room for this call: 0.012 spent and 0 reserved"
        in ran[2].json["error"]
    )
    assert "it renews at " in ran[2].json["error"]
    shown = live("budget", "--json").json["budgets"][0]
    assert (0.012, 0.0, 2) == (shown["spent"], shown["reserved"], shown["made"])
    assert "80%   0.012  0" in live("budget").out


def test_a_project_can_only_add_budgets(server, run, own, tmp_path):
    """A project's budgets apply in addition to the user's budgets, even if the project is not trusted."""
    own(
        '[replicate.prices]\n"owner/images" = { image_output_count = 0.003 }\n'
        '[[replicate.budgets]]\nname = "daily"\nperiod = "day"\ncost = 0.003\n'
    )
    (tmp_path / ".kosmo").mkdir()
    project = tmp_path / ".kosmo" / "config.toml"
    project.write_text('[[replicate.budgets]]\nname = "daily"\nperiod = "day"\ncost = 1000\n')
    assert 5 == run(2).status

    project.write_text('[[replicate.budgets]]\nname = "mine"\nperiod = "day"\npredictions = 0\n')
    ran = run(1)
    assert (5, True) == (ran.status, "budget 'mine'" in ran.json["error"])
    assert not server.requests


def test_a_run_without_a_budget_has_no_ledger(server, run, tmp_path):
    """Without a budget, no ledger file is created."""
    answered(server, 1)
    assert 0 == run(1).status

    assert not list(tmp_path.rglob("ledger.sqlite*"))


def test_the_emulator_counts_for_no_budget(kosmo, own, tmp_path):
    """Emulated calls count toward no budget."""
    own('[[replicate.budgets]]\nname = "none"\nperiod = "day"\npredictions = 0\n')
    ran = kosmo("lua", "--emulate", "-e", "return run('replicate/hello-world', { text = 'a' })")

    assert 0 == ran.status
    assert not list(tmp_path.rglob("ledger.sqlite*"))
