"""Measures what the README states: start-up, one call, a loop of calls. CPU and wall time of whole processes with all
children; medians of interleaved rounds; ratios within each round.

    python tests/bench/run.py [--rounds N] [--peers DIR] [--official PYTHON]

DIR is what `make bench` installs: the official Python client (replicate 1.0.7), and if npm is available also Deno, Bun
and the official JavaScript client (replicate 1.4.0). PYTHON is another interpreter with the Python client. Rows of
missing programs are omitted.
"""

import argparse
import compileall
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
KOSMO = [sys.executable, "-m", "kosmolua"]
PREDICTION = "gm3qorzdhgbfurvjtvhg6dckhu"
LOOP = 3000

BARE = f"""
import sys, httpx, msgspec
with httpx.Client(headers={{"Authorization": "Bearer x"}}) as client:
    for _ in range(int(sys.argv[2])):
        msgspec.json.decode(client.get(sys.argv[1] + "/v1/predictions/{PREDICTION}").content)
"""
PLAIN = f"""
import http.client, json, sys
connection = http.client.HTTPConnection(sys.argv[1].partition("//")[2])
for _ in range(int(sys.argv[2])):
    connection.request("GET", "/v1/predictions/{PREDICTION}", headers={{"Authorization": "Bearer x"}})
    json.loads(connection.getresponse().read())
"""
OFFICIAL = f"""
import sys, replicate
client = replicate.Client(api_token="x", base_url=sys.argv[1])
for _ in range(int(sys.argv[2])):
    client.predictions.get("{PREDICTION}")
"""
JAVASCRIPT = f"""
import Replicate from "replicate";
const [url, count] = process.argv.slice(-2);
const client = new Replicate({{ auth: "x", baseUrl: `${{url}}/v1` }});
for (let i = 0; i < Number(count); i++) await client.predictions.get("{PREDICTION}");
"""
SCRIPT = f"""
local get = integrations.replicate.get_prediction
for _ = 1, tonumber(args[1]) do get{{ prediction_id = "{PREDICTION}" }} end
"""


def measure(command, environment):
    """CPU and wall seconds of a process and all processes that it started."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def rounds(commands, count, environment):
    """Run every command once per round, so that other load on the machine affects all of them. The first round is not
    counted."""
    found = {name: [] for name in commands}
    for number in range(count + 1):
        for name, command in commands.items():
            figures = measure(command, environment)
            if number:
                found[name].append(figures)
    return found


def medians(figures):
    return tuple(statistics.median(column) for column in zip(*figures, strict=True))


def ratio(ours, theirs):
    pairs = [(a[0] / b[0], a[1] / b[1]) for a, b in zip(ours, theirs, strict=True)]
    return medians(pairs)


def show(title, found, ours, targets):
    print(f"\n{title}")
    for name, figures in found.items():
        cpu, wall = medians(figures)
        print(f"  {name:<34}{cpu * 1000:9.1f} ms CPU {wall * 1000:9.1f} ms wall")
    for name, target in targets.items():
        if name in found:
            cpu, wall = ratio(found[ours], found[name])
            print(f"  ratio to {name:<25}{cpu:9.2f} CPU    {wall:9.2f} wall     at most {target}")


def javascript(peers):
    """The available JavaScript runtimes by name, each with the command that makes calls."""
    packages = peers / "node_modules"
    if not (packages / "replicate").exists():
        return {}
    program = peers / "client.mjs"
    program.write_text(JAVASCRIPT)
    # The npm package bun moves its program out of the platform's package if install scripts are allowed.
    buns = (*packages.glob("@oven/*/bin/bun"), *packages.glob("bun/bin/bun.exe"))
    found = {"Deno": next(packages.glob("@deno/*/deno"), None), "Bun": next(iter(buns), None)}
    flags = {"Deno": ["run", "--allow-all", "--node-modules-dir=manual"], "Bun": []}
    return {name: [binary, *flags[name], program] for name, binary in found.items() if binary}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--official", default=os.environ.get("KOSMOLUA_OFFICIAL_PYTHON"))
    chosen = parser.parse_args()
    peers = chosen.peers.resolve() if chosen.peers else None
    if peers and not chosen.official and (peers / "bin" / "python").exists():
        chosen.official = peers / "bin" / "python"
    # An installed package has bytecode files; a checkout may lack them, which costs 25 ms per start.
    compileall.compile_dir(HERE.parent.parent / "kosmolua", quiet=1)
    server = subprocess.Popen([sys.executable, HERE / "server.py"], stdout=subprocess.PIPE, text=True)
    try:
        url = server.stdout.readline().strip()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "REPLICATE_URL": f"{url}/v1",
            "REPLICATE_API_KEY": "x",
        }
        official = [chosen.official, "-c"] if chosen.official else None
        run(url, official, javascript(peers) if peers else {}, chosen.rounds, environment)
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def run(url, official, scripted, count, environment):
    start = {
        "floor: python -c pass": [sys.executable, "-c", "pass"],
        "lua --eval 'return 1' (isolated)": [*KOSMO, "lua", "--eval", "return 1"],
    }
    if official:
        start["import replicate"] = [*official, "import replicate"]
    show("Start", rounds(start, count, environment), "lua --eval 'return 1' (isolated)", {"import replicate": 0.25})

    call = {
        "floor: httpx.Client.get": [sys.executable, "-c", BARE, url, "1"],
        "integrations:call get_prediction": [
            *KOSMO, "integrations:call", "replicate.get_prediction", f'{{"prediction_id": "{PREDICTION}"}}', "--json",
        ],
    }  # fmt: skip
    if official:
        call["official client, one get"] = [*official, OFFICIAL, url, "1"]
    call |= {f"{name}, official client": [*command, url, "1"] for name, command in scripted.items()}
    show(
        "One call",
        rounds(call, count, environment),
        "integrations:call get_prediction",
        {"official client, one get": 0.33, **dict.fromkeys((f"{name}, official client" for name in scripted), "-")},
    )

    loop = {
        "httpx.Client.get + msgspec": [sys.executable, "-c", BARE, url, str(LOOP)],
        "get_prediction, isolated script": [*KOSMO, "lua", "--eval", SCRIPT, "--", str(LOOP)],
    }
    if official:
        loop["official client"] = [*official, OFFICIAL, url, str(LOOP)]
    loop["http.client + json"] = [sys.executable, "-c", PLAIN, url, str(LOOP)]
    loop |= {f"{name}, official client": [*command, url, str(LOOP)] for name, command in scripted.items()}
    targets = {"httpx.Client.get + msgspec": 0.9, "official client": 0.2, "http.client + json": 1.15,
               "Deno, official client": 1.0, "Bun, official client": "-"}  # fmt: skip
    show(f"{LOOP} calls", rounds(loop, max(3, count // 3), environment), "get_prediction, isolated script", targets)


if __name__ == "__main__":
    main()
