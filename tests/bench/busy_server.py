"""A server for measuring fan-out: every create makes a prediction that ends SECONDS after its creation.

    python tests/bench/busy_server.py SECONDS

If a create asks to wait, it is answered after the prediction has ended, or after 10 s. GET /stats returns the number of
creates and polls, and the largest number of late polls of one prediction within 5 seconds.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict

SECONDS = float(sys.argv[1])
made, polls = {}, defaultdict(list)


def shown(number):
    done = time.monotonic() - made[number] >= SECONDS
    return {"id": f"p{number}", "status": "succeeded" if done else "processing", "output": "x" if done else None,
            "version": "v", "input": {}, "logs": "", "urls": {"get": f"/v1/predictions/p{number}"}}  # fmt: skip


def crowded():
    """The most polls of one prediction within 5 seconds, counted after the intervals between polls have reached their
    maximum."""
    most = 0
    for number, times in polls.items():
        late = [at for at in times if at - made[number] > 40]
        most = max([most, *(sum(at <= other < at + 4.9 for other in late) for at in late)])
    return most


async def answer(method, path, headers):
    if path == "/stats":
        return {"creates": len(made), "polls": sum(map(len, polls.values())), "crowded": crowded()}
    if method == "POST":
        number = len(made)
        made[number] = time.monotonic()
        if "prefer: wait" in headers:
            await asyncio.sleep(min(SECONDS, 10))
        return shown(number)
    number = int(path.rpartition("/p")[2])
    polls[number].append(time.monotonic())
    return shown(number)


async def connection(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lower = head.lower()
            if "content-length: " in lower:
                await reader.readexactly(int(lower.partition("content-length: ")[2].partition("\r\n")[0]))
            method, path, _ = head.partition("\r\n")[0].split(" ")
            body = json.dumps(await answer(method, path, lower)).encode()
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main():
    server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
