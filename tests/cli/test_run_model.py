"""`kosmo run`, from a model and its inputs to the output, with the emulator and with test servers."""

import base64
import json
import re
import signal
import subprocess
import sys

import pytest
from holding_server import HoldingServer
from recording_server import Answer
from surroundings import clean_environment
from test_terminal import Terminal

LLAMA, FLUX, UPSCALER = "meta/meta-llama-3-8b-instruct", "black-forest-labs/flux-schnell", "nightmareai/real-esrgan"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(kosmo):
    """Runs `kosmo run` with the emulator."""

    def start(*argv, **options):
        return kosmo("run", "--emulate", *argv, **options)

    return start


@pytest.fixture
def sent(run):
    """The input that a command line would send, as its dry run shows it."""

    def read(*argv, **options):
        ran = run(*argv, "--dry-run", "--json", **options)
        return ran.json["meta"]["requests"][-1]["body"]["input"]

    return read


def test_text_is_printed(run):
    """The output is printed on standard output, the summary on standard error."""
    ran = run(LLAMA, "prompt=rain", "max_tokens=8", "seed=1")

    assert 0 == ran.status
    assert ran.out.endswith("\n")
    assert 8 <= len(ran.out.split()) + 1
    assert f"kosmo: {LLAMA} succeeded: prediction " in ran.err
    assert "emulated" in ran.err


def test_streamed_text_equals_waited_text(run):
    """The printed text is the same with and without --stream, and equal to the output in the envelope."""
    given = [LLAMA, "prompt=rain", "seed=1", "temperature=0"]
    waited, streamed = run(*given), run(*given, "--stream")

    assert waited.out == streamed.out
    assert waited.out == run(*given, "--json").json["data"]["output"] + "\n"


def test_the_envelope(run):
    """The envelope has the fields of every call; its data consists of output, files and prediction."""
    found = run(FLUX, "prompt=fox", "--save", "out/", "--json").json

    assert ("run", True, None, None) == (found["function"], found["success"], found["error"], found["code"])
    assert {"output", "files", "prediction"} == set(found["data"])
    assert ["out/out-0.png"] == [one["path"] for one in found["data"]["files"]]
    assert "succeeded" == found["data"]["prediction"]["status"]
    assert (FLUX, True, False) == tuple(found["meta"][name] for name in ("model", "emulated", "dry_run"))
    assert "create_model_prediction" in {call["function"] for call in found["meta"]["call_log"]}


def test_files_are_saved_and_named(run, tmp_path):
    """Files saved in a directory keep their names and replace no others; a single file is saved under the given
    name."""
    assert "out/out-0.png\nout/out-1.png\n" == run(FLUX, "prompt=fox", "num_outputs=2", "--save", "out/").out
    assert "out/out-0-2.png\n" == run(FLUX, "prompt=fox", "--save", "out").out
    assert "fox.png\n" == run(FLUX, "prompt=fox", "--save", "fox.png").out
    assert "many-1.png\nmany-2.png\n" == run(FLUX, "prompt=fox", "num_outputs=2", "--save", "many.png").out
    for name in ("out/out-0.png", "out/out-0-2.png", "fox.png", "many-2.png"):
        assert PNG == (tmp_path / name).read_bytes()[:8]


def test_an_existing_file_is_kept(run, tmp_path):
    """An existing file is refused before anything is sent, and replaced with --overwrite."""
    (tmp_path / "fox.png").write_bytes(b"mine")

    ran = run(FLUX, "prompt=fox", "--save", "fox.png", "--json")
    assert (2, "invalid_arguments") == (ran.status, ran.json["code"])
    assert "--overwrite" in ran.json["meta"]["hint"]
    assert b"mine" == (tmp_path / "fox.png").read_bytes()

    assert 0 == run(FLUX, "prompt=fox", "--save", "fox.png", "--overwrite").status
    assert PNG == (tmp_path / "fox.png").read_bytes()[:8]


def test_text_is_saved(run, tmp_path):
    """Text is written to the given file, or to output.txt in the given directory."""
    given = [LLAMA, "prompt=rain", "seed=1", "temperature=0"]
    text = run(*given).out.removesuffix("\n")

    assert "rain.txt\n" == run(*given, "--save", "rain.txt").out
    assert "texts/output.txt\n" == run(*given, "--save", "texts/").out
    assert {text} == {(tmp_path / name).read_text() for name in ("rain.txt", "texts/output.txt")}


def test_values_are_read_by_the_schema(sent):
    """A prompt is always read as a string, and a number as a number."""
    assert {"prompt": "1984", "max_tokens": 20, "temperature": 0.5} == sent(
        LLAMA, "prompt=1984", "max_tokens=20", "temperature=0.5"
    )
    assert {"prompt": "null"} == sent(LLAMA, "prompt=null")
    assert {"prompt": '["a"]'} == sent(LLAMA, 'prompt=["a"]')
    assert {"prompt": "a=b"} == sent(LLAMA, "prompt=a=b")
    assert {"prompt": "@me"} == sent(LLAMA, "prompt=@@me")


def test_inputs_as_json(sent):
    """A JSON object gives several inputs, on the command line or standard input; a named value overrides its field."""
    assert {"prompt": "b", "seed": 1} == sent(LLAMA, '{"prompt": "a", "seed": 1}', "prompt=b")
    assert {"prompt": "a"} == sent(LLAMA, "-", stdin=b'{"prompt": "a"}')
    assert {"prompt": "a"} == sent(LLAMA, "-i", "prompt=a")


def test_text_of_a_file_and_of_standard_input(sent, tmp_path):
    """The text from a file or standard input is the value of a text input, and is converted for a number input."""
    (tmp_path / "notes.txt").write_text("two\nlines\n")
    (tmp_path / "seed").write_text("7\n")

    assert {"prompt": "two\nlines\n", "seed": 7} == sent(LLAMA, "prompt=@notes.txt", "seed=@seed")
    assert {"prompt": "piped"} == sent(LLAMA, "prompt=@-", stdin=b"piped")


def test_a_file_input(run, tmp_path):
    """A file and standard input are sent as files if the schema declares a file."""
    assert 0 == run(FLUX, "prompt=fox", "--save", "fox.png").status

    assert "big.png\n" == run(UPSCALER, "image=@fox.png", "scale=2", "--save", "big.png").out
    piped = run(UPSCALER, "image=@-", "--save", "piped.png", stdin=(tmp_path / "fox.png").read_bytes())
    assert (0, "piped.png\n") == (piped.status, piped.out)


@pytest.mark.parametrize(
    ("argv", "status", "words"),
    [
        (["prompts=x"], 2, "did you mean `prompt`?"),
        (["prompt=x", "seed=seven"], 2, 'expected integer, got "seven"'),
        (["rain"], 2, "expected an input as name=value, got 'rain'"),
        (["@in.json"], 2, "write - < in.json; for one input, write name=@in.json"),
        (["@my in.json"], 2, "write - < 'my in.json'; for one input, write name='@my in.json'"),
        (
            ["@r8_secret"],
            2,
            "got (hidden: it looks like a token)\nhint: for all inputs from a JSON object, write - < in.json",
        ),
        (["prompt=x", "--output", "f"], 2, "did you mean --save?"),
        (["--prompt", "rain"], 2, "inputs are written without dashes: prompt=VALUE"),
        (["--prompt=rain"], 2, "inputs are written without dashes: prompt=rain"),
        (["prompt=x", "--sav", "a"], 2, "did you mean --save?"),
        (["prompt=@missing.txt"], 2, "input `prompt`: cannot read 'missing.txt'"),
        (["prompt=x", "--stream", "--json"], 2, "--stream and --json cannot be combined"),
        (["prompt=x", "--no-wait", "--save", "a"], 2, "--no-wait and --save cannot be combined"),
        (["prompt=x", "--write", "deny"], 3, "create_model_prediction"),
        (["{broken"], 2, "the inputs is not valid JSON"),
        (["prompt=@-", "system_prompt=@-"], 2, "standard input can be used only once"),
    ],
)
def test_a_mistake_sends_nothing(run, argv, status, words):
    """The error says what was found and what to do, with its own status and no traceback."""
    ran = run(LLAMA, *argv)

    assert status == ran.status
    assert words in ran.err + ran.out
    assert "Traceback" not in ran.err
    assert "run.lua" not in ran.err
    assert "kosmo run:" not in ran.err


def test_a_model_that_does_not_exist(run):
    """A model that does not exist gives the error code not_found."""
    ran = run("no/such", "prompt=x", "--json")

    assert (1, "not_found") == (ran.status, ran.json["code"])


def test_a_model_that_fails(run):
    """The error has the prediction's own message, and no script line."""
    ran = run("kosmolua/always-fails", "--json")

    assert (1, "prediction_failed", None) == (ran.status, ran.json["code"], ran.json["data"])
    assert "where" not in ran.json["meta"]


def test_no_wait_prints_only_the_id(run):
    """With --no-wait only the id is printed; the envelope has the prediction without output."""
    ran = run("minimax/video-01", "prompt=sea", "--no-wait")
    assert (0, 26) == (ran.status, len(ran.out.strip()))
    assert "the emulator ends with this command; to keep predictions, run kosmo emulator:serve" in ran.err

    found = run("minimax/video-01", "prompt=sea", "--no-wait", "--json").json
    assert (None, "starting") == (found["data"]["output"], found["data"]["prediction"]["status"])


def test_the_cost_before_a_run(live, server, kosmo, tmp_path):
    """--cost prints the highest expected cost and creates nothing. An unknown price is a failure."""
    unknown = kosmo("run", "--emulate", LLAMA, "prompt=x", "--cost")
    hint = "enter the price in config.toml, or import a price file; for both formats: kosmo help budgets"
    told = f"error: no price is known for {LLAMA}\nhint: {hint}\n"
    assert (1, "", told) == (
        unknown.status,
        unknown.out,
        unknown.err,
    )
    assert "unknown_price" == kosmo("run", "--emulate", LLAMA, "prompt=x", "--cost", "--json").json["code"]

    table = {"source": "test", "date": "2026-01-01", "models": {"o/m": {"run": 0.003}}}
    (tmp_path / "prices.json").write_text(json.dumps(table))
    assert 0 == kosmo("prices", "import", "prices.json").status
    ran = live("run", "o/m", "prompt=x", "--cost", "--json")
    assert (0, 0.003) == (ran.status, ran.json["data"]["estimate"])
    assert "at most 0.003\n" == live("run", "o/m", "prompt=x", "--cost").out
    assert {"GET"} == {request.method for request in server.requests}


def test_prices_apply_to_the_emulator(run, kosmo, tmp_path):
    """Costs can be rehearsed with the emulator: an emulated run shows its usual cost, and does not count toward a
    budget across runs."""
    table = {"source": "a test", "date": "2026-11-01", "models": {FLUX: {"image_output_count": 0.003}}}
    (tmp_path / "prices.json").write_text(json.dumps(table))
    assert 0 == kosmo("prices", "import", "prices.json").status
    assert 0 == kosmo("budget", "set", "daily", "--cost", "0.001", "--per", "day").status

    assert "at most 0.006\n" == run(FLUX, "prompt=x", "num_outputs=2", "--cost").out
    assert 0.006 == run(FLUX, "prompt=x", "num_outputs=2", "--json").json["meta"]["spent"]["cost"]
    capped = run(FLUX, "prompt=x", "--max-cost", "0.002")
    assert (5, "") == (capped.status, capped.out)
    assert "the run reached its budget of 0.002 cost" in capped.err
    assert 0 == kosmo("budget", "show", "daily", "--json").json["budgets"][0]["spent"]


def test_without_a_model(kosmo):
    """Without a model, usage and recent models are printed and no request is made."""
    assert "none yet" in kosmo("run").out
    kosmo("run", "--emulate", LLAMA, "prompt=x", "max_tokens=2")
    kosmo("run", "--emulate", FLUX, "prompt=x", "--no-wait")
    ran = kosmo("run")

    assert 0 == ran.status
    assert ran.out.startswith("usage: kosmo run MODEL [NAME=VALUE ...]")
    assert f"recent models\n  {FLUX}\n  {LLAMA}\n" in ran.out
    assert [FLUX, LLAMA] == kosmo("run", "--json").json["models"]
    assert LLAMA in kosmo("run", "--emulate").out


def test_a_dry_run(run):
    """--dry-run prints the request, and a note that the run stops there."""
    ran = run(LLAMA, "prompt=x", "--dry-run")

    assert 0 == ran.status
    assert "create_model_prediction would send: POST http://emulator.localhost/v1/models/meta/" in ran.err
    assert '"prompt":"x"' in ran.err
    assert "the dry run stops here" in ran.err


@pytest.fixture
def holding():
    made = []

    def make(*hold):
        made.append(HoldingServer(*hold))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("flags", [[], ["--cancel-on-exit"]], ids=["", "cancel"])
def test_a_signal_while_a_prediction_runs(holding, tmp_path, flags):
    """After a signal, the running prediction is canceled, or named with the command that cancels it."""
    server = holding("get")
    environment = {**clean_environment(tmp_path), "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked_token"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kosmolua", "run", "o/m", "prompt=x", "--write", "allow", "--no-check", *flags],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        cwd=tmp_path,
    )
    try:
        server.saw("GET", "/predictions/p1")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()

    assert 130 == process.returncode
    assert (["p1"] if flags else []) == server.canceled()
    named = b"prediction p1 may still run; cancel it: kosmo "
    assert (named in err) is not bool(flags)
    assert err.endswith(b"error: interrupted\n")


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*argv, **environment):
        given = {**clean_environment(tmp_path), "TERM": "xterm-256color", **environment}
        opened.append(Terminal("run", "--emulate", *argv, environment=given, cwd=tmp_path))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


def test_on_a_terminal(terminal):
    """On a terminal text is streamed, the progress line names the model, and a picture is drawn."""
    screen = terminal(LLAMA, "prompt=rain", "max_tokens=5")
    assert 0 == screen.finish()
    assert f"{LLAMA} succeeded" in screen.screen

    screen = terminal(FLUX, "prompt=fox")
    assert 0 == screen.finish()
    assert f"{FLUX} succeeded" in screen.screen
    assert "\x1b[38;2;" in screen.screen
    assert "--save DIR/" in screen.screen


@pytest.mark.parametrize(
    ("environment", "carried"),
    [
        ({"TERM": "xterm-kitty"}, r"\x1b_G[^;]*m=[01];([^\x1b]*)\x1b\\"),
        ({"TERM_PROGRAM": "iTerm.app"}, r"\x1b]1337;File=[^:]*;inline=1;size=[0-9]+:([^\x07]*)\x07"),
        ({"TERM_PROGRAM": "WezTerm"}, r"\x1b]1337;File=[^:]*;inline=1;size=[0-9]+:([^\x07]*)\x07"),
    ],
    ids=["kitty", "iTerm2", "WezTerm"],
)
def test_the_picture_that_a_terminal_gets(terminal, tmp_path, environment, carried):
    """The sequence sent to the terminal contains exactly the picture that is saved."""
    screen = terminal(FLUX, "prompt=fox", "seed=3", "--save", "fox.png", **environment)
    assert 0 == screen.finish()

    assert (tmp_path / "fox.png").read_bytes() == base64.b64decode("".join(re.findall(carried, screen.screen)))


def test_the_state_is_shown_while_a_prediction_runs(terminal):
    """After a second the id of the prediction is known, and Ctrl-C names it."""
    screen = terminal("minimax/video-01", "prompt=sea")
    screen.wait_for("minimax/video-01: processing (")
    screen.type("\x03")

    assert 130 == screen.finish()
    assert "of compute" in screen.screen


@pytest.mark.parametrize("environment", [{"TERM": ""}, {"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_on_a_plain_terminal(terminal, environment):
    """On a plain terminal there is no progress line, and no picture is drawn."""
    screen = terminal(FLUX, "prompt=fox", **environment)
    assert 0 == screen.finish()

    assert "\x1b" not in screen.screen


def test_ctrl_c_at_the_question_ends_at_once(terminal):
    """One Ctrl-C at the question ends the command, and nothing was created."""
    screen = terminal(FLUX, "prompt=fox", "--write", "ask")
    screen.wait_for("[N]o: ")
    screen.type("\x03")

    assert 130 == screen.finish()
    assert "error: interrupted" in screen.screen


def test_json_is_one_line_in_a_pipe(run):
    """With --json in a pipe, standard output has one line, and standard error is empty."""
    ran = run(LLAMA, "prompt=x", "max_tokens=2", "--json")

    assert 1 == len(ran.out.splitlines())
    assert "" == ran.err
    assert json.loads(ran.out)["success"] is True


def test_a_file_given_as_text(kosmo, tmp_path):
    """A file name given as text is refused with the correct form; with that form, the input passes the check."""
    (tmp_path / "cat.png").write_bytes(b"x")
    text = kosmo("run", "--emulate", "nightmareai/real-esrgan", "image=cat.png", cwd=tmp_path)
    file = kosmo("run", "--emulate", "nightmareai/real-esrgan", f"image=@{tmp_path}/cat.png", "--cost")

    assert (2, True) == (text.status, "did you mean image=@cat.png?" in text.err)
    assert "no price is known" in file.err + file.out


def test_a_model_is_looked_up_once(live, server):
    """One request reads the schema, and one creates the prediction."""
    version = {"id": "a" * 64, "openapi_schema": {"components": {"schemas": {"Output": {"type": "string"}}}}}
    model = {"owner": "o", "name": "m", "is_official": True, "latest_version": version}
    done = {"id": "p1", "status": "succeeded", "output": "fine", "urls": {}}
    server.routes = {
        "/v1/models/o/m": Answer(body=json.dumps(model).encode()),
        "/v1/models/o/m/predictions": Answer(201, body=json.dumps(done).encode()),
    }
    ran = live("run", "o/m", "prompt=x", "--write", "allow")

    assert (0, "fine\n") == (ran.status, ran.out)
    assert ["GET", "POST"] == [request.method for request in server.requests]
    assert 1 == server.connections


def test_output_that_cannot_be_printed(server, tmp_path):
    """If the output cannot be printed, standard error names the prediction that was paid for."""
    done = {"id": "p1", "status": "succeeded", "output": "fine", "urls": {}}
    server.routes = {"/v1/models/o/m/predictions": Answer(201, body=json.dumps(done).encode())}
    environment = {**clean_environment(tmp_path), "REPLICATE_URL": server.url, "REPLICATE_API_KEY": "r8_marked"}
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "kosmolua", "run", "o/m", "prompt=x", "--write", "allow", "--no-check"],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=environment,
            timeout=60,
        )

    assert 1 == ran.returncode
    assert b"prediction p1 was created; read it: kosmo integrations:call replicate.get_prediction" in ran.stderr
