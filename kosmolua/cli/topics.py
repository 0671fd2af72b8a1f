"""Pages of the documentation that are about no single function. Markdown; `integrations:docs NAME` shows one."""

from __future__ import annotations

from kosmolua.errors import CODES

ARGUMENTS = """# Giving arguments

A function takes named arguments. On a command line they are a JSON object, flags, or both; flags win.

    kosmo integrations:call replicate.get_model '{"model_owner": "meta", "model_name": "meta-llama-3-8b-instruct"}'
    kosmo integrations:call replicate.get_model --model-owner meta --model-name meta-llama-3-8b-instruct
    kosmo integrations:call replicate.get_model --arg model_owner=meta --arg model_name=meta-llama-3-8b-instruct
    kosmo integrations:call replicate.create_prediction --version meta/meta-llama-3-8b-instruct --input.prompt 'rain'
    printf %s '{"query": "upscale"}' | kosmo integrations:call replicate.search -

- The parameter's type decides what a flag's text means: `--version 007` stays the string 007.
- `--input.name value` sets a field within an object. true, false, null and numbers are read as JSON writes them.
- A list is JSON, or values with commas between: `--webhook-events-filter start,completed`.
- `create_file` takes `--path FILE` for the content and the filename.
- Unknown and missing arguments are refused before anything is sent, with exit status 2.
"""

CONFIGURATION = """# Configuring

Store a token, and check that a call would work:

    kosmo integrations:configure replicate           asks, on a terminal; the token is not shown
    printf '{"set": {"api_key": "%s"}}' "$TOKEN" | kosmo integrations:configure replicate --stdin-json --json
    kosmo integrations:doctor replicate

Where a value comes from, the first that has one:

    token     REPLICATE_API_KEY, REPLICATE_API_TOKEN (default account), then the store that configure put it in
    url       REPLICATE_URL, the account's own, .kosmo/config.toml if trusted, config.toml, the API's
    policy    --read and --write, .kosmo/config.toml, config.toml, read=allow and write=ask

- The store is the system's keyring; where there is none, a file that its owner alone can read. The answer says which
  (`"storage": "file"`); `--storage keyring` or `--storage file` moves a token.
- Accounts have names: `configure --account work`, then `--account work` with any command, and in Lua
  `integrations.replicate.work.get_account{}`. `--remove` forgets one.
- config.toml is in ~/.config/kosmolua, or where KOSMO_CONFIG_DIR says. Edit it by hand if you like: comments stay.

    [replicate]
    enabled = true
    url = "https://api.replicate.com/v1"

    [replicate.permissions]
    read = "allow"    # allow, ask or deny
    write = "ask"

- A project's .kosmo/config.toml may tighten that. What it loosens is taken once you say `kosmo integrations:trust`,
  for as long as the file stays as it is.
- `kosmo integrations:status` shows every value and where it came from.
"""

LUA = """# Calling from Lua

Every function is in the table `integrations.replicate`, under its short name and with the prefix `replicate_`. It
takes one table of named arguments and returns the API's object.

    local model = integrations.replicate.get_model{ model_owner = "replicate", model_name = "hello-world" }
    print(model.description)

An error is a table with `code`, `message`, `function`, `status`, `detail`, `hint` and `retry_after`, as far as there
is one; as text it is its message.

    local ok, err = pcall(integrations.replicate.get_prediction, { prediction_id = "nosuch" })
    if not ok and err.code == "not_found" then print(err.message) end

Run a file with `kosmo lua FILE`, a line with `kosmo lua --eval 'return ...'`. Without an account, add `--emulate`.
"""

PAGES = """# Lists and their pages

A list answers with one page: `next`, `previous` and `results`. Give the `cursor` of the `next` URL to get the page
behind, or let the command line follow them all:

    kosmo integrations:call replicate.list_predictions --all --json

`next` is null on the last page.
"""


def _errors() -> str:
    rows = "\n".join(f"    {code:<18}{status}" for code, status in CODES.items())
    return f"""# Errors and exit statuses

With `--json` a failed command still writes one JSON object: `success` is false, `error` the message, `code` one of
the words below, and `meta` holds the rest, such as `hint`, `status` and `retry_after`. Messages go to standard error
otherwise. Compare codes, not messages.

    code              exit status
{rows}

0 is done, 1 failed, 2 wrong arguments, 3 not permitted, 4 not set up, 5 a limit was reached, 130 interrupted.
"""


def topics() -> dict[str, str]:
    """The pages by name, each starting with its title."""
    return {
        "arguments": ARGUMENTS,
        "configuration": CONFIGURATION,
        "errors": _errors(),
        "lua": LUA,
        "pages": PAGES,
    }


def title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
