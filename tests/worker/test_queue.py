"""The queue of Procrastinate is read by the threads that carry out its jobs."""

import threading

import psycopg
import pytest
from waiting import wait_until

from kosmolua.journal.records import Head
from kosmolua.worker import runs
from kosmolua.worker.queue import Queue


@pytest.fixture
def begun(database):
    """A function that starts a queue with two threads, which is stopped after the test."""
    made = []

    def begin(work, tell=print, accounts=None):
        queue = Queue(database, accounts, 2, work, tell)
        queue.begin()
        made.append(queue)
        return queue

    yield begin
    for each in made:
        each.stop()
        each.join()
    assert [(0,)] == database.rows("SELECT count(*) FROM procrastinate_workers")


def submitted(database, count, account="default"):
    head = Head(script="s.lua", source=b"return 1", account=account)
    return [runs.submit(database, head)[0] for _ in range(count)]


def jobs(database):
    return database.rows("SELECT lock, status::text FROM procrastinate_jobs ORDER BY id")


def test_jobs_are_executed_once(database, begun):
    """Two workers share existing jobs; each job is executed by one of them and removed."""
    wanted, done = submitted(database, 20), []
    for _ in range(2):
        begun(done.append)
    wait_until(lambda: not jobs(database))

    assert sorted(wanted) == sorted(done)


def test_a_ring_starts_a_job_without_a_poll(database, begun):
    """A ring for each new job starts the job, without a poll of the queue in between."""
    done = []
    queue = begun(done.append)
    wanted = submitted(database, 5)
    for _ in wanted:
        queue.ring()
    wait_until(lambda: len(done) == 5)

    assert sorted(wanted) == sorted(done)


def test_a_job_waits_for_another_job_of_its_run(database, begun):
    """A run that is queued again while active is continued at once afterwards, but never twice at the same time."""
    active, most, times = threading.Semaphore(1), [], []

    def work(run):
        most.append(active.acquire(blocking=False))
        times.append(run)
        if len(times) == 1:
            with database.transaction() as connection:
                runs.enqueue(connection, [(run, "default")])
            queue.ring()
        active.release()

    (wanted,) = submitted(database, 1)
    queue = Queue(database, None, 2, work, print)
    queue.begin()
    wait_until(lambda: not jobs(database))
    queue.stop()
    queue.join()

    assert ([wanted, wanted], [True, True]) == (times, most)


def test_jobs_for_another_account(database, begun):
    """A worker takes only jobs for its own accounts."""
    (other,), (own,), done = submitted(database, 1, "other"), submitted(database, 1, "own"), []
    begun(done.append, accounts=["own"])
    wait_until(lambda: jobs(database) == [(other, "todo")])

    assert [own] == done


def test_jobs_of_other_programs_are_removed(database, begun):
    """A job with an unknown task is removed without effect."""
    database.rows("INSERT INTO procrastinate_jobs (queue_name, task_name, args) VALUES ('default', 'other', '{}')")
    done = []
    begun(done.append)
    wait_until(lambda: not jobs(database))

    assert [] == done


def test_a_removed_worker_registers_again(database, begun):
    """If another worker has removed this one as dead, it reports that once, and registers again."""
    done, told = [], []
    queue = begun(done.append, told.append)
    submitted(database, 1)
    queue.ring()
    wait_until(lambda: len(done) == 1)
    database.rows("DELETE FROM procrastinate_workers")
    submitted(database, 1)
    queue.ring()
    wait_until(lambda: len(done) == 2)

    assert 1 == len(told)
    assert "the queue cannot be read" in told[0]


def test_workers_without_a_heartbeat_are_removed(database, begun):
    """The heartbeat of a worker removes workers that have stopped."""
    queue = begun(print)
    submitted(database, 1)
    wait_until(lambda: queue._id is not None)
    database.rows("INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 minute')")
    with database.transaction() as connection:
        queue.beat(connection, 15.0)

    assert [(queue._id,)] == database.rows("SELECT id FROM procrastinate_workers")


def test_a_closed_connection_is_not_used(database):
    """A connection that the server has closed is replaced before a statement is sent."""
    ((pid,),) = database.rows("SELECT pg_backend_pid()")
    with psycopg.connect(database.url) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    assert [(1,)] == database.rows("SELECT 1")


def test_an_uncommitted_transaction_is_rolled_back(database):
    """After an error the connection is used again, without the transaction."""
    ((before,),) = database.rows("SELECT pg_backend_pid()")

    def give_up():
        with database.transaction() as connection:
            connection.execute("INSERT INTO polled VALUES ('a', gen_random_uuid())")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        give_up()
    assert [(0, before)] == database.rows("SELECT (SELECT count(*) FROM polled), pg_backend_pid()")


def test_a_failed_transaction_does_not_count_as_committed(database):
    """If a transaction continues after a failed statement, committing it is an error."""

    def go_on():
        with database.transaction() as connection:
            connection.execute("INSERT INTO polled VALUES ('a', gen_random_uuid())")
            with pytest.raises(psycopg.Error):
                connection.execute("SELECT 1 / 0")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        go_on()
    assert [(0,)] == database.rows("SELECT count(*) FROM polled")


def test_durable_statements_are_flushed(database):
    """A wake is on disk when the call returns, although other statements are not flushed at once."""
    head = Head(script="s.lua", source=b"return 1")
    run, _ = runs.submit(database, head, at=database.now() + 1000)
    with database.unit() as unit:
        runs.wake(unit.connection, [run])
        ((written, flushed),) = unit.connection.execute(
            "SELECT pg_current_wal_insert_lsn(), pg_current_wal_flush_lsn()"
        ).fetchall()

    assert written == flushed
