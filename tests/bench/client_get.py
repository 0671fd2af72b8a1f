"""CPU time of the client per GET on a kept-alive connection, in µs: the cost of the path from arguments to data.

    python tests/bench/client_get.py [--calls N] [--rounds N] [--official PYTHON]

Prints medians of interleaved rounds. Each way to make the call runs in its own process, and `server.py` in another.
PYTHON is an interpreter with the official client (replicate 1.0.7); without it that row is omitted. Start-up and the
first 200 calls are not counted.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PREDICTION = "gm3qorzdhgbfurvjtvhg6dckhu"

# Each way defines `call`, which returns the prediction as Python data (the lower bounds return its bytes).
WAYS = {
    "floor: http.client": f"""
import http.client, urllib.parse
connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc)
def call():
    connection.request("GET", "/v1/predictions/{PREDICTION}", headers={{"Authorization": "Bearer x"}})
    return connection.getresponse().read()
""",
    "floor: httpx.HTTPTransport": f"""
import httpx
transport = httpx.HTTPTransport()
request = httpx.Request("GET", url + "/v1/predictions/{PREDICTION}", headers={{"Authorization": "Bearer x"}})
def call():
    return transport.handle_request(request).read()
""",
    "kosmolua": f"""
import msgspec
from kosmolua.replicate import catalogue
from kosmolua.replicate.client import Client
from kosmolua.replicate.structs import decode_arguments
client = Client(token="x", base_url=url)
operation = catalogue.find("get_prediction")
packed = msgspec.msgpack.encode({{"prediction_id": "{PREDICTION}"}})
def call():
    return client.send(operation, decode_arguments(operation, packed)).data
""",
    "httpx.Client.get + msgspec": f"""
import httpx, msgspec
client = httpx.Client(headers={{"Authorization": "Bearer x"}})
def call():
    return msgspec.json.decode(client.get(url + "/v1/predictions/{PREDICTION}").content)
""",
}
OFFICIAL = f"""
import replicate
client = replicate.Client(api_token="x", base_url=url)
def call():
    return client.predictions.get("{PREDICTION}")
"""
MEASURED = """
import sys, time
url, calls = sys.argv[1], int(sys.argv[2])
{way}
for _ in range(200): call()
began = time.process_time()
for _ in range(calls): call()
print((time.process_time() - began) / calls * 1e6)
"""


def measure(python, way, url, calls):
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    command = [python, "-c", MEASURED.format(way=way), url, str(calls)]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--official", default=os.environ.get("KOSMOLUA_OFFICIAL_PYTHON"))
    chosen = parser.parse_args()
    ways = {name: (sys.executable, way) for name, way in WAYS.items()}
    if chosen.official:
        ways["official client"] = (chosen.official, OFFICIAL)
    with subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip()
            found = {name: [] for name in ways}
            for _ in range(chosen.rounds):
                for name, (python, way) in ways.items():
                    found[name].append(measure(python, way, url, chosen.calls))
        finally:
            server.kill()
    ours = found["kosmolua"]
    for name, figures in found.items():
        ratio = statistics.median(a / b for a, b in zip(ours, figures, strict=True))
        sys.stdout.write(f"{name:<30}{statistics.median(figures):8.0f} µs   kosmolua/this {ratio:5.2f}\n")


if __name__ == "__main__":
    main()
