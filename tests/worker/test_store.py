"""Journals in SQLite and in PostgreSQL behave the same."""

import uuid
from contextlib import closing

import msgspec
import psycopg
import pytest
from waiting import wait_until

from kosmolua.errors import ConfigurationError, JournalError
from kosmolua.journal.records import CallStart, Head
from kosmolua.journal.sqlite import SqliteStore
from kosmolua.worker import schema
from kosmolua.worker.database import Database, UnavailableError
from kosmolua.worker.store import Fence, FencedError, PostgresStore

HEAD = Head(script="s.lua", source=b"return 1", args=["a", "ä"])
NAMES = "run, task, function, account, digest, arguments, at, seen, state, ended, sent"
RESTORE = f"""INSERT INTO outcomes (number, request, {NAMES}) OVERRIDING SYSTEM VALUE
  SELECT %s, 3, {NAMES} FROM outcomes RETURNING 1"""
PLACES = {"create": 1, "get": 2, "more": 3}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    if request.param == "sqlite":
        made = SqliteStore(str(tmp_path / "j"))
    else:
        made = PostgresStore(request.getfixturevalue("database"), "r1")
    with closing(made), made.hold():
        made.prepare(HEAD)
        made.begin_run("d1")
        yield made


def asked(name, *, seen=0, task=0):
    return CallStart(task, PLACES[name], name, "", name.encode(), msgspec.msgpack.encode({"n": name}), 5.0, seen)


def answered(store, name, state="ok", value=b"\x01", *, sent=True, seen=0):
    return store.finish(asked(name, seen=seen), "o/m", state, value, sent=sent)


def test_metadata_of_a_run(store):
    """The metadata is that of the head, with a seed and a time."""
    facts = store.facts()

    assert ("s.lua", b"return 1", ["a", "ä"], "default") == (
        facts["script"],
        facts["source"],
        facts["args"],
        facts["account"],
    )
    assert 1 == facts["awaits"]
    assert facts == store.prepare(HEAD)


def test_answers_are_in_order(store):
    """Answers are loaded in the order of their arrival."""
    store.intend(asked("create"), "o/m", b"essence", ("boot", 1.0))
    answered(store, "get")
    answered(store, "create", value=b"\x02")
    loaded = store.load()

    assert [(1, "get", "ok"), (2, "create", "ok")] == [(r.order, r.began.function, r.state) for r in loaded.rows]
    assert [] == loaded.attempts
    assert [("get", b"\x01"), ("create", b"\x02")] == loaded.answered
    assert b"\x02" == store.value(loaded.rows[1].number)
    assert loaded.rows[1].number == store.newest()


def test_an_attempt_without_an_answer(store):
    """An attempt is loaded until it has an answer."""
    store.intend(asked("create"), "o/m", b"essence", ("boot", 1.0))
    ((began, intent),) = store.load().attempts

    assert ("create", b"essence") == (began.function, intent.essence)
    assert ["open"] == [line.state for line in store.lines()]
    answered(store, "create")
    assert [] == store.load().attempts


def test_the_last_failure_is_retried(store):
    """After a failed run the last failure is tried again, and an unsure attempt is open again."""
    first = answered(store, "get")
    store.intend(asked("create"), "o/m", b"essence", ("boot", 1.0))
    answered(store, "create", "unsure", b"\xc0", seen=first)
    store.end(1, "failed")
    with_run = store.begin_run  # the end must belong to the last run
    store.forget_last_error()
    loaded = store.load()
    with_run("d1")

    assert ["get"] == [row.began.function for row in loaded.rows]
    assert ["create"] == [began.function for began, _ in loaded.attempts]


def test_a_failure_that_the_script_has_seen_is_kept(store):
    """A failure is kept if the script has continued after it."""
    failed = answered(store, "get", "error")
    answered(store, "more", seen=failed)
    store.end(1, "failed")
    store.forget_last_error()

    assert ["get", "more"] == [row.began.function for row in store.load().rows]


def test_cut_calls_still_count_as_spent(store):
    """Answers that were cut are not loaded, but sent calls are still listed."""
    answered(store, "get")
    second = answered(store, "create")
    store.intend(asked("more"), None, b"e", ("b", 1.0))
    store.cut(second)

    assert ["get"] == [row.began.function for row in store.load().rows]
    assert [] == store.load().attempts
    assert [("get", False), ("create", True)] == [(each.function, each.cut) for each in store.sent()]
    assert second == next(each.number for each in store.sent(after=second - 1))


def test_a_journal_has_counts(store):
    """The journal counts runs, answers and open attempts, and has the end."""
    answered(store, "get")
    store.intend(asked("create"), None, b"e", ("b", 1.0))
    counts = store.summaries()

    assert (1, 1, 1, None) == (counts.runs, counts.answers, counts.open, counts.end)
    store.end(1, None)
    assert store.summaries().end[1]
    assert "d1" == store.last_digest()
    assert store.ended_after(0.0) is not None
    assert store.ended_after(9e9) is None


def test_a_search_in_answers(store):
    """The search returns the successful answers of these functions that contain the word."""
    answered(store, "get", value=b"..succeeded..")
    answered(store, "more", value=b"succeeded")

    assert [("", b"..succeeded..")] == store.succeeded(["get", "create"])


def test_a_prediction_belongs_to_one_run(database):
    """Two runs cannot have the same prediction as their answer."""
    one, two = PostgresStore(database, "r1"), PostgresStore(database, "r2")
    for store in (one, two):
        with store.hold():
            store.prepare(HEAD)
    with one.hold():
        assert one.take("p")
        assert one.take("p")
    with two.hold():
        assert not two.take("p")
        assert two.is_taken("p")
    with one.hold():
        assert not one.is_taken("p")


def let_hold(database, *workers):
    """Make a run and workers with leases of these seconds; the first worker holds the run at epoch 3."""
    free = PostgresStore(database, "r1")
    with free.hold():
        free.prepare(HEAD)
    with database.transaction() as connection:
        for worker, left in workers:
            connection.execute(
                "INSERT INTO workers VALUES (%s, clock_timestamp() + make_interval(secs => %s), 'h', 1, 'v', 1)",
                (worker, left),
            )
        connection.execute("UPDATE runs SET worker = %s, epoch = 3", (workers[0][0],))


def test_a_fenced_store_writes_nothing(database):
    """Without a valid lease and epoch, nothing is written or sent."""
    me, other = uuid.uuid4(), uuid.uuid4()
    let_hold(database, (me, 60), (other, -1))
    held = PostgresStore(database, "r1", Fence(me, 3))
    with held.hold():
        held.intend(asked("create"), None, b"e", ("b", 1.0))
    for fence in (Fence(me, 2), Fence(other, 3)):
        store = PostgresStore(database, "r1", fence)
        with pytest.raises(FencedError), store.hold("nothing was sent"):
            store.intend(asked("create"), None, b"e", ("b", 1.0))
    with database.transaction() as connection:
        connection.execute("UPDATE workers SET lease_until = clock_timestamp() - interval '1 s'")
    with pytest.raises(FencedError), held.hold():
        answered(held, "create")

    assert [(1,)] == database.rows("SELECT count(*) FROM intents")
    assert [(0,)] == database.rows("SELECT count(*) FROM outcomes")


def test_nothing_follows_an_answer_lost_by_the_database(database):
    """A journal with a gap would not match its script, so neither answers nor intents are added."""
    me = uuid.uuid4()
    let_hold(database, (me, 60))
    store = PostgresStore(database, "r1", Fence(me, 3))
    with store.hold():
        store.load()
    with store.hold():
        answered(store, "get")
    with database.transaction() as connection:
        connection.execute("DELETE FROM outcomes")  # as after a crash
    with pytest.raises(UnavailableError, match="lost answers"), store.hold():
        answered(store, "more")
    with pytest.raises(UnavailableError, match="nothing was sent"), store.hold("nothing was sent"):
        store.intend(asked("create"), None, b"e", ("b", 1.0))

    assert [(0, 0)] == database.rows("SELECT (SELECT count(*) FROM intents), (SELECT count(*) FROM outcomes)")


@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_with_an_unknown_outcome(database, kept):
    """Whether or not the last answer was stored, the next answer may follow."""
    me = uuid.uuid4()
    let_hold(database, (me, 60))
    store = PostgresStore(database, "r1", Fence(me, 3))
    with store.hold():
        store.load()
        answered(store, "get")

    def interrupted():
        with store.hold():
            number = answered(store, "more")
            database.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'")
            if kept:  # as if only the answer to the commit had been lost
                wait_until(lambda: database.rows(RESTORE, (number,)))

    with pytest.raises(UnavailableError):
        interrupted()
    with store.hold():
        answered(store, "create")

    assert 2 + kept == len(database.rows("SELECT 1 FROM outcomes"))


def test_text_that_postgresql_cannot_store(store):
    """No answer is lost because a name contains a NUL."""
    began = CallStart(0, 9, "odd\0", "", b"d", b"\x80", 1.0, 0)
    store.finish(began, "m\0", "ok", b"\0", sent=True)

    assert 1 == len(store.load().rows)


def test_a_newer_schema_is_refused(url):
    """An older worker does not change a newer schema."""
    Database(url, prepare=True).close()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE kosmo.facts SET version = 99")
    with pytest.raises(ConfigurationError, match="supports at most version"):
        Database(url, prepare=True)
    with pytest.raises(ConfigurationError, match="supports at most version"):
        Database(url)


def test_an_older_schema_is_migrated(url, monkeypatch):
    """Each missing migration runs once, and the data is kept."""
    Database(url, prepare=True).close()
    newest = schema.VERSION + 1
    steps = {**schema._STEPS, newest: "ALTER TABLE kosmo.runs ADD COLUMN note text"}
    monkeypatch.setattr(schema, "VERSION", newest)
    monkeypatch.setattr(schema, "_STEPS", steps)
    with pytest.raises(ConfigurationError, match="no kosmolua tables, or older ones"):
        Database(url)
    database = Database(url, prepare=True)
    Database(url, prepare=True).close()

    assert [] == database.rows("SELECT note FROM runs")
    database.close()


def test_an_unreachable_database(tmp_path):
    """The error says what to check, without the URL, which may contain a password."""
    with pytest.raises(ConfigurationError) as raised:
        Database(f"postgresql://me:secret@/x?host={tmp_path}")

    assert "secret" not in f"{raised.value.message} {raised.value.hint}"


def test_a_closed_store(database):
    """The error says that the store is closed."""
    store = PostgresStore(database, "r1")
    store.close()
    with pytest.raises(JournalError, match="closed"), store.hold():
        pass
