"""The progress line while a script runs, on a real terminal, and no progress line in a pipe."""

import re

import pytest
from test_terminal import Terminal
from tmux import Screen
from waiting import stays

from kosmolua.services.progress import Summary
from kosmolua.services.progress_line import text_of
from kosmolua.terminal.drawing import fitted

PAINT = """
  local p = replicate.create("black-forest-labs/flux-schnell", { prompt = "a fox", num_outputs = 2 })
  wait(p, { interval = 0.1, max_interval = 0.1, on_update = function(p) print("it is " .. p.status) end })
"""
SOON = "replicate.create('black-forest-labs/flux-schnell', { prompt = 'a' }) sleep(0.5) print('over')"
ASK = """
  local function paint()
    return replicate.create("black-forest-labs/flux-schnell", { prompt = "a fox", num_outputs = 4 })
  end
  paint() sleep(1) print(pcall(paint))
"""


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*argv, prompt, **options):
        made = Screen(tmp_path, "lua", "--emulate", *argv, prompt=prompt, stay=True, **options)
        opened.append(made)
        return made

    yield start
    for made in opened:
        made.close()


def test_the_progress_line_is_redrawn_and_removed(terminal):
    """The progress line shows the predictions below the script's output, and disappears when the script has ended."""
    screen = terminal("--eval", PAINT + "log('over')", prompt=" processing (")
    line = r"^0:0\d, black-forest-labs/flux-schnell: processing \(\d+%\), \d\.\d s of compute$"
    assert re.search(line, screen.text, re.MULTILINE)

    screen.wait_for(Screen.ENDED)
    lines = [line for line in screen.text.split("\n") if line]
    assert ["it is processing", "it is succeeded", "over"] == [*dict.fromkeys(lines[:-1])][-3:]
    assert f"{Screen.ENDED}0" == lines[-1]


def test_the_progress_line_is_hidden_during_a_question(terminal):
    """The progress line is removed before a question, and drawn again after the answer."""
    screen = terminal("--write", "ask", "--eval", ASK, prompt="[N]o: ")
    screen.type("o\n")
    screen.wait_for(": starting")
    screen.wait_for("[N]o: ", times=2, without="starting")
    assert stays(lambda: "starting" in screen.text, 0.3)
    screen.type("n\n")

    screen.wait_for(Screen.ENDED)
    assert "you refused it" in screen.text


def test_verbose_runs_print_each_call(terminal):
    """With -v, a line for each completed call is printed above the progress line."""
    screen = terminal("-v", "--eval", PAINT + "sleep(0.6)", prompt=": succeeded")
    lines = [line for line in screen.text.split("\n") if line]
    assert re.fullmatch(
        r"kosmo: create_model_prediction on account default: 201, \d+ ms, allow \(write=allow \(.*\), by policy\)",
        lines[1],
    )
    assert ": succeeded" in lines[-1]

    screen.wait_for(Screen.ENDED)
    assert ": succeeded" not in screen.text


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"TERM": "xterm", "NO_COLOR": "1"}])
def test_a_plain_terminal(environment, tmp_path):
    """No progress line is drawn on a terminal with TERM=dumb or NO_COLOR."""
    screen = Terminal("lua", "--emulate", "--eval", SOON, environment=environment, cwd=tmp_path)
    try:
        assert 0 == screen.finish()
    finally:
        screen.close()

    assert "over\r\n" == screen.screen


def test_a_pipe_gets_no_progress_line(kosmo):
    """Standard error in a pipe has no progress output; -v prints each call: function, account, status or code,
    duration, decision."""
    assert (0, "over\n", "") == kosmo("lua", "--emulate", "-e", SOON).seen

    source = """
      pcall(integrations.replicate.get_prediction, { prediction_id = "no" })
      pcall(integrations.replicate.create_prediction, { version = 1 })
      pcall(integrations.replicate.delete_file, { file_id = "f" })
    """
    ran = kosmo("lua", "--emulate", "-v", "--write", "deny", "-e", source)
    assert [
        "kosmo: get_prediction on account default: not_found, N ms, allow (read=allow (emulator), by policy)",
        "kosmo: create_prediction on account default: invalid_arguments, N ms, not decided",
        "kosmo: delete_file on account default: permission_denied, N ms, deny (write=deny (--write), by policy)",
    ] == re.sub(r"\d+ ms", "N ms", ran.err).splitlines()


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (Summary(0, {}, None, 0.0, []), ""),
        (Summary(2, {}, None, 0.0, []), "1:02:03, 2 being created"),
        (Summary(1, {}, None, 0.0, []), "1:02:03, being created"),
        (Summary(0, {"processing": 1}, 40, 0.0, [], "o/m"), "1:02:03, o/m: processing (40%)"),
        (Summary(1, {"processing": 1}, None, 0.0, [], "o/m"), "1:02:03, o/m: 1 being created, 1 processing"),
        (
            Summary(0, {"failed": 1, "starting": 2, "processing": 3}, 40, 12.34, []),
            "1:02:03, 2 starting, 3 processing (40%), 1 failed, 12.3 s of compute",
        ),
        (
            Summary(0, {}, None, 0.0, [("a.png", 1_500_000, 3_000_000), ("b", 1, None)]),
            "1:02:03, a.png 50% of 3.0 MB, 1 more downloads",
        ),
        (Summary(0, {}, None, 0.0, [("a.png", 999, None)]), "1:02:03, a.png 999 bytes"),
    ],
)
def test_the_text_of_the_progress_line(summary, text):
    """The text has the predictions by state, the percentage, the seconds of compute and the downloads. There is no text
    if the run waits for nothing."""
    assert text == text_of(summary, 3723.9)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("abcdefghijkl", "abcdefghi"), ("a\x1b[2Jb\r", "a\\x1b[2Jb"), ("日本語日本語", "日本語日")],
)
def test_the_progress_line_fits_in_one_line(text, shown):
    """The text is cut at the terminal's width, and contains no control characters."""
    assert shown == fitted(text, 10)
