"""If it is unknown whether an interrupted write was executed, the API is searched before the write is sent again."""

import sqlite3
import time
from contextlib import closing

import msgspec
import pytest
from journalled import HELLO, Emulated
from recording_server import Answer

from kosmolua.errors import JournalError
from kosmolua.journal.journal import Journal
from kosmolua.journal.records import Head, Lookup
from kosmolua.replicate import catalogue
from kosmolua.runtime.tape import JournalRequest

CREATE = f"integrations.replicate.create_prediction{{ version = '{HELLO}', input = {{ text = 'a' }} }}"


@pytest.fixture
def cut_off(emulated):
    """Runs a script whose write gets no answer, and is executed or not; returns a function that resumes the run."""

    def run(source, moment, operation="create_prediction"):
        what = {"before": "request", "after": "accept"}[moment]
        emulated.misbehave(f"drop:{operation}:after={what}")
        assert "uncertain" == emulated.flow(source).error.code
        return emulated.flow

    return run


def looked_for(flow):
    return [entry.function for entry in flow.sessions[-1].log if entry.by == "journal"]


def test_a_created_prediction_is_adopted(emulated, cut_off):
    """A prediction that was created is found by its request, and not created again."""
    flow = cut_off(f"return {CREATE}.id", "after")
    ran = flow(f"return {CREATE}.id")

    assert (None, emulated.made) == (ran.error, ran.results)
    assert 1 == len(emulated.made)
    assert ["get_account", "list_predictions", "get_prediction"] == looked_for(flow)
    assert emulated.made == flow(f"return {CREATE}.id").results


def test_a_create_that_did_not_arrive_is_sent_again(emulated, cut_off):
    """A create that is not found is sent again after the time in which the first request could still arrive."""
    flow = cut_off(f"return {CREATE}.id", "before")
    assert [] == emulated.made
    began = time.monotonic()
    ran = flow(f"return {CREATE}.id", lookup=Lookup(settling=0.3))

    assert time.monotonic() - began > 0.2
    assert (None, emulated.made) == (ran.error, ran.results)
    assert 1 == len(emulated.made)


def test_a_late_create_is_found(emulated, cut_off):
    """A create that the server receives after the end of the run is found while the resumed run waits."""
    flow = cut_off(f"return {CREATE}.id", "before")
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            flow_of_another(emulated)

    ran = flow(f"return {CREATE}.id", lookup=Lookup(settling=60, sleep=sleep))

    assert (None, emulated.made) == (ran.error, ran.results)
    assert 1 == len(emulated.made)


def flow_of_another(emulated, source=f"return {CREATE}.id"):
    """Make the same call in another run."""
    other = Emulated(emulated.emulator, emulated.flow.url, f"{emulated.flow.path}.{time.monotonic_ns()}")
    return other.flow(source).results


def test_a_prediction_belongs_to_one_entry(emulated, cut_off):
    """If there are two equal predictions, the one that is already in the journal is not adopted for the other call."""
    flow = cut_off(f"local a = {CREATE}.id", "before")
    source = f"local a = {CREATE}.id return a"
    first = flow(source).results
    journal = Journal(flow.path, Head(script="flow.lua", source=b""))
    assert set(first) == journal._claimed
    journal.close()
    flow = cut_off(f"local a = {CREATE}.id return {CREATE}.id", "after")
    ran = flow(f"local a = {CREATE}.id return {CREATE}.id")

    assert [identifier for identifier in emulated.made if identifier not in first] == ran.results


def test_indistinguishable_predictions_need_a_decision(emulated, cut_off):
    """If two predictions match, the run stops and shows both, so that a person chooses one or none."""
    flow = cut_off(f"return {CREATE}.id", "after")
    flow_of_another(emulated)
    ran = flow(f"return {CREATE}.id")

    assert isinstance(ran.error, JournalError)
    assert set(emulated.made) == set(ran.error.detail["candidates"])
    assert "--adopt ID" in ran.error.hint
    assert all(identifier in ran.error.message for identifier in emulated.made)
    assert 2 == len(emulated.made)

    adopted = flow(f"return {CREATE}.id", lookup=Lookup(settling=0.05, adopt=emulated.made[1]))
    assert [emulated.made[1]] == adopted.results
    assert 2 == len(emulated.made)


def test_send_again_resends_the_create(emulated, cut_off):
    """The create is sent again if a person decides so."""
    flow = cut_off(f"return {CREATE}.id", "before")
    flow_of_another(emulated)
    flow_of_another(emulated)
    ran = flow(f"return {CREATE}.id", lookup=Lookup(settling=0.05, again=True))

    assert [emulated.made[-1]] == ran.results
    assert 3 == len(emulated.made)


def test_a_changed_script_stops_at_an_open_write(emulated, cut_off):
    """If a script was changed before a write with unknown outcome, nothing is sent until a person decides about that
    write."""
    flow = cut_off(f"return {CREATE}.id", "before")
    ran = flow("return integrations.replicate.get_account{}.username")

    assert isinstance(ran.error, JournalError)
    assert "create_prediction" in ran.error.message
    assert flow("return integrations.replicate.get_account{}.username", cut=True).error is None


def test_the_clock_is_set_back(emulated, cut_off):
    """A call that was sent while the clock was an hour ahead is found, and is not sent again."""
    flow = cut_off(f"return {CREATE}.id", "after")
    journal = Journal(flow.path, Head(script="flow.lua", source=b""))
    journal.close()
    with closing(sqlite3.connect(flow.path)) as file, file:
        file.execute("UPDATE intents SET at = at + 3600")
    ran = flow(f"return {CREATE}.id")

    assert (None, emulated.made) == (ran.error, ran.results)
    assert 1 == len(emulated.made)


def test_a_failed_search_is_repeated(tmp_path):
    """If the search for a write fails, for example because the gate refuses the search, the next run searches again."""
    path, head = str(tmp_path / "x.journal"), Head(script="flow.lua", source=b"")
    create = catalogue.find("create_prediction")
    arguments = {"version": "v", "input": {}}
    asked = JournalRequest(0, 1, create.name, arguments=msgspec.msgpack.encode(arguments))
    with closing(Journal(path, head)) as journal:
        journal.begin(asked, 0).send(create, arguments)
    with closing(Journal(path, head)) as journal:
        journal.finish(journal.begin(asked, 0), msgspec.msgpack.encode({"code": "permission_denied"}), ok=False)
        journal.end(JournalError("refused"))
    with closing(Journal(path, head)) as journal:
        assert 1 == len(journal.begin(asked, 0).open)


# Other writes -----------------------------------------------------------------------------------------------------

ME = "local r = integrations.replicate local me = r.get_account{}.username "
DEPLOY = f"""r.create_deployment{{ name = "mine", model = "replicate/hello-world", version = "{HELLO}",
  hardware = "cpu", min_instances = 0, max_instances = 1 }}"""
DEPLOYED = "r.get_deployment{ deployment_owner = me, deployment_name = 'mine' }.current_release.number"
UPDATE = "r.update_deployment{ deployment_owner = me, deployment_name = 'mine', max_instances = 2 }"
MODEL = "r.create_model{ owner = me, name = 'made', visibility = 'private', hardware = 'cpu' }"
DESCRIBE = "r.update_model{ model_owner = me, model_name = 'made', description = 'x' }"
DESCRIBED = "r.get_model{ model_owner = me, model_name = 'made' }.description"
FILE = "r.create_file{ content = 'some bytes', filename = 'a.txt' }"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("operation", "first", "source", "look", "expected"),
    [
        ("create_deployment", "", f"return {DEPLOY}.name", DEPLOYED, 1),
        ("update_deployment", DEPLOY, f"return {UPDATE}.name", DEPLOYED, 2),
        ("create_file", "", f"return {FILE}.id", "#r.list_files{}.results", 1),
        ("delete_file", FILE, "r.delete_file{ file_id = r.list_files{}.results[1].id }", "#r.list_files{}.results", 0),
        ("create_model", "", f"return {MODEL}.name", DESCRIBED, None),
        ("update_model", MODEL, f"return {DESCRIBE}.name", DESCRIBED, "x"),
    ],
)
def test_other_writes_are_done_once(emulated, cut_off, moment, operation, first, source, look, expected):
    """Each write takes effect once, whether the connection is lost before or after the write is executed, and the
    script continues."""
    flow_of_another(emulated, f"{ME} {first} return 1")
    flow = cut_off(ME + source, moment, operation)

    assert flow(ME + source).error is None
    assert [expected] == flow_of_another(emulated, f"{ME} return {look}")


def test_removed_data_needs_a_decision(server, flow):
    """After an hour the API no longer shows inputs, so the run stops and asks."""
    server.answers.append(Answer(201, b"", cut=0, keep=False))
    source = CREATE.replace(HELLO, "v" * 64) + " time()"
    assert "uncertain" == flow(f"{source}").error.code
    now = "2099-01-01T00:00:00Z"
    item = {"id": "p", "version": "v" * 64, "input": {}, "data_removed": True, "created_at": now, "status": "succeeded"}
    server.default = Answer(200, msgspec.json.encode({"results": [item], "next": None}))
    ran = flow(f"{source}")

    assert isinstance(ran.error, JournalError)
    assert ["p"] == ran.error.detail["candidates"]
    assert 1 == sum(request.method == "POST" for request in server.requests)


def test_an_uncertain_create_that_ended_the_run(server, flow):
    """If a lost connection ended the run, the resumed run searches all pages for the created prediction and adopts
    it."""
    server.answers.append(Answer(201, b"", cut=0, keep=False))
    source = f"return {CREATE.replace(HELLO, 'v' * 64)}.id"
    assert "uncertain" == flow(source).error.code

    def page(identifier, text, cursor):
        item = {"id": identifier, "version": "v" * 64, "input": {"text": text}, "created_at": "2099-01-01T00:00:00Z"}
        link = f"{flow.url}/predictions?cursor={cursor}" if cursor else None
        return Answer(200, msgspec.json.encode({"results": [item], "next": link}))

    server.answers.extend(
        [Answer(200, b"{}"), page("x", "b", "two"), page("p1", "a", None), Answer(200, b'{"id": "p1"}')]
    )
    ran = flow(source)

    assert ["p1"] == ran.results
    assert "created_after=" in server.requests[2].target
    assert "cursor=two" in server.requests[3].target
    assert 1 == sum(request.method == "POST" for request in server.requests)
    assert (1, 1) == tuple(flow.sessions[-1].budget.spent()[name] for name in ("calls", "predictions"))
