"""A server for measuring transfers: it serves files of zeros and accepts uploads with almost no cost of its own.

GET /N returns N bytes; a POST is read, and answered with a Replicate file object.
"""

import os
import socket
import sys
import tempfile
import threading

CREATED = b'{"id": "f", "size": %d, "urls": {"get": "http://localhost/v1/files/f"}}'
PIECE = 1 << 20


def head(status, length):
    return b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, length)


def take(connection, left):
    into = memoryview(bytearray(PIECE))
    while left > 0:
        got = connection.recv_into(into[: min(left, PIECE)])
        if not got:
            return
        left -= got


def answer(connection, zeros):
    waiting = b""
    with connection:
        while piece := connection.recv(65536):
            waiting += piece
            while b"\r\n\r\n" in waiting:
                request, _, waiting = waiting.partition(b"\r\n\r\n")
                lines = request.lower().split(b"\r\n")
                length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
                if lines[0].startswith(b"get"):
                    size = int(lines[0].split(b" ")[1].rpartition(b"/")[2])
                    connection.sendall(head(b"200 OK", size))
                    at = 0
                    while at < size:
                        at += os.sendfile(connection.fileno(), zeros, at, min(size - at, 1 << 20))
                else:
                    if b"expect: 100-continue" in lines:
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    take(connection, length - len(waiting))
                    waiting = b""
                    body = CREATED % length
                    connection.sendall(head(b"201 Created", len(body)) + body)


def main():
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as zeros:
        zeros.truncate(4 << 30)
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection, zeros.fileno()), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
