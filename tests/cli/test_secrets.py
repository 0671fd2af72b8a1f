"""The token appears nowhere: all output and files of every command are searched for a recognizable token."""

import os

import pytest
from recording_server import Answer

from kosmolua.cli import COMMANDS

MARK = "r8_markedmarkedmarkedmarked"

SCRIPT = """
  local function leak(t, seen)
    for k, v in pairs(t) do
      print(k, v)
      if type(v) == "table" and not seen[v] then seen[v] = true leak(v, seen) end
    end
  end
  leak(_G, {})
  local ok, e = pcall(integrations.replicate.get_account, {})
  print(ok, e) dump(e)
  integrations.replicate.get_prediction{ id = "x" }
"""

STORE = ["replicate", "--set", f"api_key={MARK}", "--json"]
RUNS = {
    "integrations:configure": [
        STORE, ["--set", f"api_key={MARK} with space"], ["--set", MARK], ["--set", f"{MARK}=x"],
        ["--unset", MARK], ["--account", MARK, "--enable"], ["--set", f"url=https://{MARK}@h.example"],
        ["--storage", "file", "--json"], ["--project", "--write", "deny"],
        ["--set", f"api_key={MARK}", "--project", "--json"], ["--unset", "api_key"], ["--remove", "--json"],
    ],
    "run": [
        ["a/b", "x=y"], ["a/b", f"x={MARK}", "--json"], ["a/b", MARK], ["a/b", f"--api_key={MARK}"], [MARK, "x=y"],
        ["a/b", "x=y", "--cost"], ["a/b", "x=y", "--dry-run", "--json"], ["a/b", f"x=@{MARK}"], [],
    ],
    "models": [["search", "x"], ["list", "--json"], ["show", "a/b"], ["list", MARK]],
    "predictions": [["list"], ["show", "x", "--json"], ["show", MARK], ["cancel", "x"], ["open", "x"], ["list", MARK]],
    "integrations:doctor": [["--json"], [], ["--offline", "--json"]],
    "integrations:status": [["--json"], []],
    "integrations:trust": [["--json"], []],
    "integrations:lua": [
        ["--eval", SCRIPT], ["--eval", SCRIPT, "--json"], ["--eval", "error(args)", "--isolation", "none"],
    ],
    "repl": [["--eval", SCRIPT], ["--eval", SCRIPT, "--json"]],
    "integrations:call": [
        ["replicate.get_account"], ["replicate.get_account", "--json"],
        ["replicate.get_account", "--dry-run", "--json"],
        ["replicate.create_prediction", '{"version": "v", "input": {}}', "--force"], ["replicate.nope"],
    ],
    "integrations:replicate": [[], ["get_account", "--help"], ["get_prediction", "--prediction_id=x"]],
    "integrations:list": [[], ["--json"]],
    "integrations:search": [["predictions", "--json"]],
    "integrations:docs": [["replicate", "--json"], ["replicate.get_account"]],
    "integrations:schema": [["replicate.get_account"]],
    "integrations:examples": [["replicate.get_account", "--json"]],
    "integrations:types": [["--json"]],
    "integrations:fields": [["--json"]],
    "integrations:policy": [["list"], ["explain", "replicate.get_account", "--json"], ["explain", MARK]],
    "check": [["/dev/null", "--json"], ["/dev/null", "--online"]],
    "model": [["a/b"], ["a/b", "--json"], ["a/b", "--dry-run"], [MARK]],
    "webhooks:verify": [
        ["--id", "i", "--timestamp", "1", "--signature", "v1,x", "--json"],
        ["--id", "i", "--timestamp", "1", "--signature", "v1,x", "--secret-env", "REPLICATE_API_KEY"],
        ["--id", "i", "--timestamp", "1", "--signature", "v1,x", "--secret-env", MARK], ["--secret", MARK],
    ],
    "audit": [[], ["--json"], ["--function", MARK]],
    "runs": [[], ["list", "--json"], ["show", MARK]],
    "approvals": [[], ["list", "--json"], ["approve", MARK], ["show", "x"], ["deny", "x", "--as", MARK]],
    "prices": [[], ["list", "--json"], ["import", "/dev/null"]],
    "budget": [[], ["show", "--json"], ["set", "daily", "--cost", "5", "--per", "day"], ["set", "x", "--cost", "none"]],
    "scripts": [["list"], ["add", "/dev/null", "--name", "a"], ["show", "a"], ["run", "a"], ["show", MARK]],
    "worker": [["--help"], ["--database", MARK]],
    "workers": [[], ["--json"], ["--database", MARK]],
    "submit": [["/dev/null"], [MARK]],
    "schedule": [["list"], ["list", MARK], ["add", "nightly", "0 3 * * *", MARK], ["run", MARK]],
    "triggers": [["list"], ["list", MARK], ["add", MARK]],
    "webhooks:serve": [["--help"], ["--database", MARK], ["--port", MARK]],
    "serve": [["--database", MARK], ["--secret-file", MARK], ["--public-url", MARK], ["--port", MARK], []],
    "emulator:record": [["--help"], [MARK]],
    "skill": [[], ["--install"], ["--check", "--json"]],
    "mcp:serve": [["--code"], ["--account", MARK]],
    "mcp:install": [["cursor"], ["codex", "--project", "--json"], ["cursor", "--", "--account", MARK], [MARK]],
    "mcp:uninstall": [["cursor"], ["codex", "--json"], ["zed", "--name", MARK], [MARK]],
    "mcp:export": [["vscode"], ["claude-code", "--json"], ["cursor", "--name", MARK]],
    "completion": [["bash"]],
}  # fmt: skip
STARTED_ELSEWHERE = {"emulator:serve"}


def test_every_command_is_run():
    """Every command is searched, or has a reason why not; this includes new commands."""
    assert {name for name in COMMANDS if name not in STARTED_ELSEWHERE} <= set(RUNS)


@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("command", RUNS)
def test_the_token_is_in_no_output_or_file(server, kosmo, tmp_path, command, status):
    """The token is not in output, errors or files, even if the server returns the token itself."""
    server.default = Answer(status, body=f'{{"detail": "you sent Bearer {MARK}"}}'.encode())
    environment = {"REPLICATE_API_KEY": MARK, "REPLICATE_URL": server.url}

    for arguments in RUNS[command]:
        ran = kosmo(command, *arguments, env=environment)
        if status != 200:  # the server's answer is printed unchanged
            assert MARK not in ran.out
        assert MARK not in ran.err

    for folder, _, files in os.walk(tmp_path):
        for name in files:
            with open(os.path.join(folder, name), "rb") as file:
                assert MARK.encode() not in file.read()


def test_the_token_is_in_no_notice_of_a_retry(server, kosmo):
    """Notices of retries do not contain the token."""
    server.default = Answer(500, body=f'{{"detail": "you sent Bearer {MARK}"}}'.encode())
    ran = kosmo(
        "integrations:call", "replicate.get_account", env={"REPLICATE_API_KEY": MARK, "REPLICATE_URL": server.url}
    )

    assert "retrying in" in ran.err
    assert MARK not in ran.out + ran.err


def test_the_token_is_not_in_a_process_list(server, kosmo):
    """No child process gets the token in its command line or environment."""
    source = "integrations.replicate.get_account{} sleep(0.2)"
    seen = []

    class Watching(Answer):
        def encode(self):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        command = file.read()
                    with open(f"/proc/{pid}/environ", "rb") as file:
                        environment = file.read()
                    host = command.rstrip(b"\0").rpartition(b"\0")[2].decode()
                    with open(f"/proc/{host if host.isdigit() else 'self'}/environ", "rb") as file:
                        is_ours = server.url.encode() in file.read()
                except OSError:
                    continue
                if b"kosmolua.runtime.worker" in command and is_ours:
                    seen.append(MARK.encode() in command + environment)
            return super().encode()

    server.default = Watching()
    kosmo("lua", "--eval", source, env={"REPLICATE_API_KEY": MARK, "REPLICATE_URL": server.url})

    assert [False] == seen
