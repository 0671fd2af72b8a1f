"""The prompt runs in a real terminal: keys are sent to tmux, and its screen is compared."""

import pytest
from tmux import Screen
from waiting import wait_until

CREATE = (
    'integrations.replicate.create_model_prediction{ model_owner = "black-forest-labs", '
    'model_name = "flux-schnell", input = { prompt = "a fox" }'
)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def start(*argv, **options):
        made = Screen(tmp_path, "repl", *(argv or ("--emulate",)), **options)
        opened.append(made)
        return made

    yield start
    for made in opened:
        made.close()


def test_a_workflow(terminal, tmp_path):
    """A person enters ten inputs, and searches for one of them the next day."""
    screen = terminal("--emulate", "--write", "ask")
    screen.wait_for("default  ·  read=allow write=ask  ·  emulator  ·  0 running")

    # 1, 2: a local of the top level, and an expression that shows its value
    screen.enter('local name = "flux-schnell"', "in[2]>")
    screen.enter("name:upper()", '"FLUX-SCHNELL"\n')

    # 3: completion of a function with its description, and of its arguments
    screen.type("integrations.replicate.get_acc")
    screen.wait_for("Show the user or organization that the token belongs to.")
    screen.press("Tab")
    screen.type("{}")
    screen.press("Enter")
    screen.wait_for('username = "emulator",')

    # 4: an incomplete chunk
    screen.enter("for i = 1, 3 do", "     …")
    screen.enter("print(('line %d'):format(i * 10))", "     …")
    assert "line 10" not in screen.text
    screen.enter("end", "line 30")
    screen.wait_for("in[5]>")
    assert "\n     …   print(('line %d'):format(i * 10))\n     … end\nline 10\nline 20\nline 30\n" in screen.text

    # 5: an error, with its line
    screen.enter("error('went wrong')", "error: in[5]:1: went wrong")

    # 6: an interrupt
    screen.enter("while true do end", "running 1 s")
    screen.press("C-c")
    screen.wait_for("error: in[6]:1: interrupted")

    # 7: a question about a permission, which is answered with once
    screen.type(CREATE)
    screen.wait_for("create_model_prediction{ model_owner*, model_name*, input*")
    screen.type(', prefer = "wait" }')
    screen.press("Enter")
    seen = screen.wait_for("[o]nce, for this [r]un, [N]o:")
    assert "kosmo: create_model_prediction from the prompt, with" in seen
    assert 'input: {"prompt":"a fox"}' in seen
    screen.type("o")
    screen.press("Enter")
    screen.wait_for("black-forest-labs/flux-schnell\n  output = {")
    screen.wait_for("▀▀▀▀▀▀▀▀▀▀")

    # 8, 9, 10: the last value, a value from before the interrupt, and the bottom line
    screen.enter("_.status, _7.model", '"succeeded"\n"black-forest-labs/flux-schnell"')
    screen.enter("name", '"flux-schnell"\n')
    screen.enter("#_6", "error: in[10]:1: attempt to get length of global '_6' (a nil value)")
    assert "1 running" not in screen.text
    assert "0 running  ·  0.8 s compute" in screen.text
    screen.enter(":log", "create_model_prediction  default  allow by person")
    assert screen.ended("C-d")

    again = terminal("--emulate")
    again.press("C-r")
    again.type("upper")
    again.wait_for("name:upper()")
    again.press("Enter")
    again.press("Enter")
    again.wait_for("error: in[1]:1: attempt to index global 'name' (a nil value)")
    assert 0o600 == (tmp_path / "state" / "history").stat().st_mode & 0o777


def test_a_model_is_completed(terminal):
    """The name is completed in the background, then its inputs with defaults and the options; then the model runs."""
    screen = terminal("--emulate", "--write", "allow")
    screen.wait_for("emulator  ·  0 running")
    screen.type('#run("schnell')
    screen.wait_for("black-forest-labs/flux-schnell  ")
    screen.press("Tab")
    screen.type('", { ')
    screen.wait_for("black-forest-labs/flux-schnell{ prompt*, width = 256, height = 256, num_outputs = 1, seed, ")
    seen = screen.wait_for("string, required: What to paint. Colors and times of day in it are used.")
    assert 'megapixels = "1" } → list of files' in seen
    screen.press("Tab")
    screen.type('"a fox", num')
    screen.wait_for("integer from 1 to 4: How many.", without="in pixels")
    screen.press("Tab")
    screen.wait_for("\nnum_outputs: integer from 1 to 4. How many.")
    screen.type("2, pro")
    screen.wait_for("num_outputs = 2, pro")
    assert "string, required" not in screen.text
    screen.press("C-w")
    screen.type("}, { time")
    screen.wait_for('number: Raise an error with code "timed_out" after this many seconds.', without="wait = ")
    screen.press("Tab")
    screen.type("20 })")
    screen.press("Enter")
    screen.wait_for("in[2]>")
    assert (
        'in[1]> #run("black-forest-labs/flux-schnell", { prompt = "a fox", num_outputs = 2, }, { timeout = 20 })\n2\n'
        in (screen.text)
    )
    screen.enter(":log", "search")
    assert "get_model  " in screen.text


def test_an_interrupt_answers_a_question_with_no(terminal):
    """The interrupt counts as no, the state is kept, and keys typed before are not an answer."""
    screen = terminal("--emulate", "--write", "ask")
    screen.enter("kept = 1", "in[2]>")
    screen.type(f"print('be' .. 'gun') sleep(0.5) local p = {CREATE} }}")
    screen.press("Enter")
    screen.wait_for("\nbegun\n")  # the line was accepted: what is typed after it belongs to the next input
    screen.type("o")
    screen.press("Enter")
    screen.wait_for("[N]o:")
    screen.press("C-c")
    screen.wait_for("error: in[2]:1: interrupted")
    screen.enter("'kept', kept", '"kept"\n1\n')
    screen.enter(":log", "deny by person  refused permission_denied")

    screen.type(f"parallel({{ 1, 2, 3 }}, function() return {CREATE} }} end)")
    screen.press("Enter")
    screen.wait_for("[N]o:", times=2)
    screen.press("C-c")
    screen.wait_for(":1: interrupted", times=2)
    screen.enter("'asked', 'once'", '"once"')
    assert 2 == screen.text.count("[N]o:")


def test_the_answer_no_applies_to_one_input(terminal):
    """The next input causes the question again."""
    screen = terminal("--emulate", "--write", "ask")
    for number in (1, 2):
        screen.type(f"{CREATE} }}")
        screen.press("Enter")
        screen.wait_for("[N]o:", times=number)
        screen.type("n")
        screen.press("Enter")
        screen.wait_for(f"error: in[{number}]:1: create_model_prediction: you refused it")
        screen.wait_for(f"in[{number + 1}]>")


def test_a_lost_state_is_reported(terminal):
    """If Lua cannot be stopped, a message says so, and there is a new state."""
    screen = terminal()
    screen.enter("kept = 1", "in[2]>")
    long_call = "(('a'):rep(8e5):find(('a'):rep(4e5) .. 'b', 1, true))"  # in C code, for some seconds
    screen.enter(long_call, "running 1 s")
    screen.press("C-c")
    screen.wait_for("the Lua process died; globals and locals are lost")
    screen.enter("'now', kept", '"now"\nnil\n')


def test_editing(terminal):
    """A paste is one input that waits for Enter; brackets close a chunk; Enter accepts a completion."""
    screen = terminal()
    screen.paste("local a = 1\nlocal b = 2\nreturn a + b")
    screen.wait_for("return a + b")
    screen.type(" + 4")
    screen.press("Enter")
    screen.wait_for("\n7\n", without="\n3\n")

    screen.enter("t = {", "     …")
    screen.enter("x = 1,", "     …")
    screen.enter("}", "in[3]>")
    screen.type("t.")
    screen.wait_for("number")
    screen.press("Tab", "Enter")
    screen.wait_for("in[3]> t.x")
    screen.press("Enter")
    screen.wait_for("in[4]>")
    screen.type("gave up")
    screen.press("C-c")
    screen.enter("'still', 'here'", '"here"')


def test_commands(terminal, tmp_path):
    """Each command works, and an unknown command gets a suggestion."""
    (tmp_path / "flow.lua").write_text("local from_file = 7\nfunction wrong()\n  error('deep')\nend\n")
    screen = terminal()
    screen.enter(f":load {tmp_path}/flow.lua", "in[2]>")
    screen.enter("from_file", "\n7\n")
    screen.enter("wrong()", "flow.lua:3: deep\n  >    3 |   error('deep')")
    screen.enter(":hlep", "error: unknown command :hlep; did you mean :help?")
    screen.enter("?sleep", "Wait for the given number")
    screen.enter("?get_acount", "did you mean get_account")
    screen.enter(":time 1 + 1", " ms\n")
    screen.enter(":budget calls 1", "of 1\n")
    screen.enter("integrations.replicate.get_account{}.username", '"emulator"')
    screen.enter("integrations.replicate.get_account{}", "the run reached its budget of 1 call")
    screen.enter(":policy write deny", "write=deny")
    screen.enter(f":save {tmp_path}/saved.lua", "inputs to")
    assert "from_file" in (tmp_path / "saved.lua").read_text()
    screen.enter(":reset", "new Lua state")
    screen.enter("from_file", "\nnil\n")
    screen.enter(":emulate off", "calls go to Replicate")
    screen.wait_for("live")
    screen.enter(":account nobody", "unknown account 'nobody'; known: default")
    screen.enter(":help", "run? or ?run shows a page")
    screen.type(":quit")
    screen.press("Enter")
    assert screen.ended()


def test_the_startup_file_is_loaded(terminal, tmp_path):
    """The definitions in the file are available, and an error in it is reported with its line."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "repl.lua").write_text("local helper = 41\nfunction help() return helper + 1 end\n")
    screen = terminal(prompt="in[2]>")
    screen.enter("help() + helper", "\n83\n")


def test_secrets_are_not_stored(terminal, tmp_path):
    """A token that is typed is in no file."""
    screen = terminal()
    screen.enter("token = 'r8_abcdefghijklmnopqrstuvwxyz0123456789'", "in[2]>")
    screen.enter("1 + 1", "\n2\n")
    assert screen.ended("C-d")

    assert '"1 + 1"\n' == (tmp_path / "state" / "history").read_text()


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
def test_a_plain_terminal(terminal, environment):
    """Everything works without colors and drawing."""
    screen = terminal(environment=environment)
    screen.enter("if true then", "…")
    screen.enter("print('plain') end", "\nplain\n")
    screen.enter("{ 1, 'two' }", '{ 1, "two" }\n')
    raw = screen._tmux("capture-pane", "-p", "-e")
    assert "\x1b[32m" not in raw
    assert screen.ended("C-d")


def test_vi_keys(terminal):
    """With the option for them, vi keys edit the line."""
    screen = terminal("--emulate", "--keys", "vi")
    screen.type("'abcd'")
    screen.wait_for("'abcd'")
    at = screen.cursor
    screen.press("Escape")
    wait_until(lambda: screen.cursor < at)  # by then it is certain that no other key belongs to it
    screen.type("0lxx")
    screen.press("Enter")
    screen.wait_for('"cd"')


def test_the_banner_and_habits_from_other_prompts(terminal):
    """Two lines say what to type; `help`, `name?` and `exit` work as in other prompts."""
    screen = terminal()
    assert "kosmolua " in screen.text
    assert "help: all commands" in screen.text

    screen.enter("help", ":policy")
    screen.enter("wait?", "cancel_on_timeout")
    assert "---@" not in screen.text
    screen.enter("help = 5", "in[2]>")
    screen.enter("help", "5")
    screen.type("exit")
    screen.press("Enter")
    screen.ended()


def test_progress_and_interrupts_name_the_prediction(terminal):
    """The message names the prediction that still runs, and the command that cancels it."""
    screen = terminal()
    screen.type('run("minimax/video-01", { prompt = "sea" }, { wait = false })')
    screen.press("Enter")
    screen.wait_for("minimax/video-01: ")
    screen.press("C-c")
    shown = screen.wait_for("still runs and may cost; to cancel: :cancel")
    assert "hint: prediction " in shown
    screen.enter(":cancel", "canceled prediction")
