"""A server for measuring clients: one prediction, with keep-alive, answered as cheaply as Python can."""

import socket
import sys
import threading

BODY = (
    b'{"id":"gm3qorzdhgbfurvjtvhg6dckhu","model":"replicate/hello-world",'
    b'"version":"5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa",'
    b'"input":{"text":"Alice"},"logs":"","output":"hello Alice","error":null,"status":"succeeded",'
    b'"created_at":"2023-09-08T16:19:34.765994Z","source":"api","data_removed":false,'
    b'"started_at":"2023-09-08T16:19:34.779176Z","completed_at":"2023-09-08T16:19:34.791859Z",'
    b'"metrics":{"predict_time":0.012683},"urls":{"web":"https://replicate.com/p/gm3qorzdhgbfurvjtvhg6dckhu",'
    b'"get":"https://api.replicate.com/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu",'
    b'"cancel":"https://api.replicate.com/v1/predictions/gm3qorzdhgbfurvjtvhg6dckhu/cancel"}}'
)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def answer(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = b""
    with connection:
        while piece := connection.recv(65536):
            waiting += piece
            while b"\r\n\r\n" in waiting:
                _, _, waiting = waiting.partition(b"\r\n\r\n")
                connection.sendall(ANSWER)


def main():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=answer, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
