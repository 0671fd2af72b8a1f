"""A host works across forks: each process has its own connections, processes and locks."""

import multiprocessing
import os
import pickle
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from waiting import let_pass

from kosmolua import Host

CALLS = 150
READ = "return integrations.replicate.get_prediction{ prediction_id = args[1] }.id"


class Echo(BaseHTTPRequestHandler):
    """A server that returns the requested id after a moment, over keep-alive connections."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        let_pass(0.001)
        body = b'{"id": "%s"}' % self.path.rpartition("/")[2].encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def host(url):
    with Host(token="r8_marked_token", url=url) as made:
        yield made


def asks(host, name, calls=CALLS):
    """The number of the process's calls that got the right answer."""
    return sum(host.call("get_prediction", {"prediction_id": f"{name}{n}"})["id"] == f"{name}{n}" for n in range(calls))


def forked(action, seconds=60.0):
    """The action's result in a forked process, or None if the process does not end."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(writing, pickle.dumps(action()))
        except BaseException as error:  # noqa: BLE001 - reported to the parent
            os.write(writing, pickle.dumps(repr(error)))
        finally:
            os._exit(0)
    os.close(writing)

    def result():
        with ThreadPoolExecutor(1) as pool, open(reading, "rb") as file:
            try:
                return pickle.loads(pool.submit(file.read).result(seconds))
            except TimeoutError:
                return None
            finally:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    return result


def test_a_prefork_application(host):
    """After calls before the fork, four workers and the parent call at once, and each gets its own answers."""
    assert 3 == asks(host, "before", 3)
    workers = [forked(lambda name=name: asks(host, name)) for name in "abcd"]

    assert asks(host, "parent") == CALLS
    assert [CALLS] * 4 == [result() for result in workers]
    assert asks(host, "after") == CALLS


def test_scripts_after_a_fork(host):
    """Each process prepares its own script process; a worker that closes its host does not affect other runs."""
    assert "x" == host.run(READ, ["x"]).value

    def work(name):
        values = [host.run(READ, [f"{name}{n}"]).value for n in range(5)]
        host.close()
        return values

    workers = [forked(lambda name=name: work(name)) for name in "ab"]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(host.run, f"sleep(0.5) {READ}", ["parent"])
        found = [result() for result in workers]

        assert [[f"{name}{n}" for n in range(5)] for name in "ab"] == found
        assert "parent" == running.result().value
    assert "y" == host.run(READ, ["y"]).value


def test_a_run_created_before_the_fork(host):
    """The run works in the forked process as in the parent."""
    run = host.script(READ, ["made"])

    assert "made" == forked(lambda: run.result().value)()


@pytest.mark.parametrize("options", [{}, {"isolation": "none"}, {"emulate": True}], ids=["live", "none", "emulated"])
def test_a_fork_while_other_threads_call(options, url):
    """Locks held by other threads at the fork do not block the child, from its first call on."""
    with Host(token="r8_marked_token", url=url, **options) as host:
        over = threading.Event()

        def calls():
            while not over.is_set():
                host.call("get_account") if "emulate" in options else asks(host, "t", 1)
                host.run("return 1")

        def work():
            host.call("get_account")
            return host.run("return 1").value

        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(calls) for _ in range(4)]
            try:
                found = [forked(work)() for _ in range(12)]
            finally:
                over.set()
            for future in futures:
                future.result()

    assert [1] * 12 == found


SHARED = {}


def in_pool(name):
    return asks(SHARED["host"], name, 30), os.getpid()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing(method, url):
    """`multiprocessing` works with a module's host and with a host in each process."""
    context = multiprocessing.get_context(method)
    with Host(token="r8_marked_token", url=url) as host:
        asks(host, "x", 2)
        SHARED["host"] = host
        given = {} if method == "fork" else {"initializer": make, "initargs": (url,)}
        with context.Pool(2, **given) as pool:
            found = pool.map(in_pool, "abcdef", chunksize=1)

    assert {30} == {answered for answered, _ in found}
    assert os.getpid() not in {pid for _, pid in found}


def make(url):
    SHARED["host"] = Host(token="r8_marked_token", url=url)


def test_a_host_cannot_be_pickled(host):
    """The error gives the reason and the alternative."""
    with pytest.raises(TypeError, match=r"a Host cannot be pickled.*make one in each process"):
        pickle.dumps(host)


def test_a_closed_host_is_closed_after_a_fork(host):
    """A closed host is also closed in the forked process."""
    host.close()

    assert "the host is closed" in forked(lambda: host.call("get_account"))()


def test_a_forked_process_has_no_connection_of_its_parent(host):
    """The forked process has no descriptor of the parent's connections."""
    asks(host, "x", 2)
    host.run("return 1")

    def sockets():
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) > 2]
        return [link for link in links if "socket" in link]

    idle = host._made.clients._made["default"]._inner._idle.values()
    ours = {os.readlink(f"/proc/self/fd/{connection._sock.fileno()}") for each in idle for connection in each}

    assert ours
    assert not ours & set(forked(sockets)())
