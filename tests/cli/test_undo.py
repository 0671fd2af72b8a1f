"""`kosmo runs undo` cancels and deletes what a run created, newest first, through the gate."""

import pytest
from tmux import Screen

from kosmolua.emulator import Emulator, running

SCRIPT = """
local replicate = integrations.replicate
local file = replicate.create_file{ filename = "a.txt", content = "hello" }
local gone = replicate.create_file{ filename = "b.txt", content = "bye" }
replicate.delete_file{ file_id = gone.id }
local me = replicate.get_account{}.username
replicate.create_model{ owner = me, name = "mine", visibility = "private", hardware = "cpu" }
replicate.update_model{ model_owner = me, model_name = "mine", description = "x" }
run("replicate/hello-world", { text = "done" })
local long = run("minimax/video-01", { prompt = "x" }, { wait = false, timeout = 0.2 })
"""


@pytest.fixture
def emulator(tmp_path):
    with running(Emulator(seed="undo")) as url:
        yield {"REPLICATE_URL": url, "REPLICATE_API_KEY": "r8_marked"}


@pytest.fixture
def ran(kosmo, emulator):
    """A run that created a file, a model and a prediction."""

    def go(*argv, **more):
        return kosmo(*argv, env=emulator, **more)

    assert 1 == go("lua", "-e", SCRIPT, "--journal", "x", "--write", "allow").status
    return go


def test_created_objects_are_undone(ran):
    """Objects are undone newest first. Objects that the run itself removed are skipped, and those that cannot be undone
    are named."""
    listed = ran("runs", "undo", "x", "--dry-run")
    assert 0 == listed.status
    kinds = [line.split()[:2] for line in listed.out.splitlines() if not line.startswith("cannot")]
    assert [["cancel", "prediction"], ["delete", "model"], ["delete", "file"]] == kinds
    cannot = [line for line in listed.out.splitlines() if line.startswith("cannot be undone")]
    assert ["update_model" in cannot[0], "it has ended (succeeded)" in cannot[1]] == [True, True]

    done = ran("runs", "undo", "x", "--yes", "--write", "allow", "--json")
    assert (0, True) == (done.status, done.json["success"])
    assert ["canceled", "deleted", "deleted"] == [each["outcome"] for each in done.json["results"]]
    again = ran("runs", "undo", "x", "--yes", "--write", "allow", "--json").json
    assert ["ended (canceled)", "gone", "gone"] == [each["outcome"] for each in again["results"]]


def test_undoing_needs_confirmation_and_permission(ran):
    """Nothing is undone without a terminal and confirmation; the confirmation does not bypass the policy."""
    refused = ran("runs", "undo", "x")
    assert (3, True) == (refused.status, "--dry-run, then add --yes" in refused.err)
    denied = ran("runs", "undo", "x", "--yes", "--json")
    assert (1, {"failed"}) == (denied.status, {each["outcome"] for each in denied.json["results"]})
    assert {"approval_required"} == {each["code"] for each in denied.json["results"]}


@pytest.mark.parametrize(("answer", "expected"), [("n", "nothing was undone"), ("y", "deleted: file")])
def test_a_person_is_asked(ran, tmp_path, emulator, answer, expected):
    """After the list is shown, any answer but yes undoes nothing."""
    screen = Screen(tmp_path, "runs", "undo", "x", "--write", "allow", environment=emulator,
                    prompt="undo these 3? [y/N]", stay=True)  # fmt: skip
    try:
        screen.enter(answer, Screen.ENDED)
        assert expected in screen.text
    finally:
        screen.close()


def test_a_run_of_the_emulator_leaves_nothing(kosmo):
    """The error says that an emulated run leaves nothing to undo, and the API is not queried."""
    kosmo("lua", "-e", "run('replicate/hello-world', { text = 'x' })", "--emulate", "--journal", "x")
    ran = kosmo("runs", "undo", "x", "--yes")

    assert (2, True) == (ran.status, "used the emulator, which keeps nothing after a run" in ran.err)
