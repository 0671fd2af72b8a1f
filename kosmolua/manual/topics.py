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

What workflows are written with stands beside the functions, in `replicate` (short for `integrations.replicate`):

    run(model, input, options)       its output, once it has succeeded, and the prediction
    replicate.create(model, input)   a prediction that is not waited for
    wait(prediction, options)        a prediction or training when it has ended
    stream(model, input)             what a model writes while it writes it
    each(function, arguments)        all items of a list
    file(path), download(file, path) a file of this machine for an input; saving an output
    replicate.cancel_all(list)       without a list what the script has started and not seen to end
    parallel(list, f, options)       f for each item, at most `limit` (8) at once
    race{ f, g }, spawn(f)           the first that succeeds; a task to :await() or :cancel()

    local images = run("black-forest-labs/flux-schnell", { prompt = "a lighthouse" }, { timeout = 60 })
    local large = run("nightmareai/real-esrgan", { image = images[1] })
    print(large.url)

`docs.search("cancel")` finds pages of this documentation, `docs.read("run")` gives one, `docs.list()` tells of all.

Run a file with `kosmo lua FILE`, a line with `kosmo lua --eval 'return ...'`, and find out what works at a prompt with
`kosmo repl`. Without an account, add `--emulate`. For an editor, `kosmo integrations:types` writes what it has to know,
and with `--model owner/name` what a model takes.
"""

PERMISSIONS = """# What may be called

Every function is a read or a write (`kosmo integrations:list replicate` says which). Each class has a verdict: allow,
ask (on the terminal; where there is none the answer is no) or deny. Rules in config.toml are finer:

    [[replicate.rules]]
    verdict = "deny"
    functions = "delete_*"

    [[replicate.rules]]
    verdict = "allow"
    functions = ["create_prediction", "create_model_prediction"]
    account = "work"
    arguments = { model = "black-forest-labs/*", "input.num_outputs" = 1 }

- Of the rules that match, the one with the most conditions decides, then the one that names the function most
  exactly; of equals the strictest. `model` and `deployment` stand for any argument that names one.
- What a call leaves open counts against it: a bare version does not tell its model, so a rule that denies a model
  denies it, and a rule that allows one does not allow it.
- `--read deny`, `--write ask` and the like are ceilings: no rule allows more in that command.
- A signing key (get_default_webhook_secret) reaches a script by a rule that names the function, or by your yes.
- At the question: once, run (for the rest of it), always (writes the rule that it shows), no (for the rest of the run).
- `--force` bypasses all of that; it bypasses no budget, no header and no check of arguments.

Which rule decides a call, and why:

    kosmo integrations:policy explain replicate.create_prediction --model meta/meta-llama-3-8b-instruct
    kosmo integrations:policy list

Every decision, of commands and scripts, is in the record, without inputs or answers:

    kosmo audit --since 1d --function 'create_*'
"""

BUDGETS = """# What a run may spend

Each is taken before a request is sent, and a run that reaches one ends with exit status 5:

    --max-calls N                 calls of any kind
    --max-writes N                calls that change something
    --max-predictions N           predictions and trainings; what the API refused is given back
    --max-seconds-of-compute N    metrics.predict_time of what has ended, the clock for what still runs
    --max-cost N                  by your own price table, in your own currency

Prices are yours to enter in config.toml; an unknown one is asked about, it is never taken to be zero:

    [replicate.prices.hardware]
    gpu-l40s = 0.000975                                       # for each second, by SKU

    [replicate.prices.models]
    "black-forest-labs/flux-schnell" = { run = 0.003 }        # for each run
    "owner/name" = { hardware = "gpu-l40s", seconds = 20 }    # taken to run 20 seconds until it has ended

After a run that failed, what it started and nobody saw end is named on standard error, with the command that cancels
it; `--cancel-on-exit` cancels it instead.

A script may declare what it needs in the comments at its top. `kosmo lua --explain FILE` shows it, and the run is held
to it; it is never given more than the policy and the flags allow:

    --@ needs: create_prediction, get_prediction
    --@ models: black-forest-labs/*
    --@ max_predictions: 10
"""

FILES = """# A script's files

There are none, until you open directories:

    kosmo lua --allow-read images --allow-write results flow.lua

- `--allow-read` is for `create_file{ path = … }` and for `require`, which finds modules beside the script:
  `require "lib.text"` is lib/text.lua or lib/text/init.lua.
- `--allow-write` is for what a script saves. A file takes its name once it is complete.
- Links that lead out of a directory are not followed.
- Without a flag, config.toml may say it, for its owner or for a project that is trusted:

    [files]
    read = ["."]
    write = ["results"]
"""

ISOLATION = """# What holds a script

A script runs in LuaJIT, in a process of its own that has no token, no network library, no environment and no files. It
asks its host over a pipe; the host believes nothing of what it hears and checks every call again. Of a script written
by somebody you do not trust you can expect that it calls what you allowed, as often as you allowed, and nothing else.

Should it break out of Lua, the kernel holds the process, by layers. `kosmo integrations:doctor` names those that this
machine lacks, and `meta.isolation` in a run's envelope those that held.

    process        ends with its host, and is closed to debuggers
    rlimits        address space, CPU time, no processes, no open files, no core
    no_new_privs   nothing that is executed gains rights
    landlock       no path, no TCP port, no signal to others (Linux 5.13 and later)
    seccomp        reading its pipe, writing its pipe, memory and clocks; any other system call ends it

    --isolation standard    the default: every layer that the machine has
    --isolation strict      landlock and seccomp, or no run; no JIT compiler and no executable memory
    --isolation none        in the host's own process, for scripts of your own

Limits: `--cpu-limit` (30 s), `--time-limit` (none), `--memory-limit` (128M), `--output-limit` (10M). A run that reaches
one is killed from outside within half a second, and exits with 5. No pcall catches that. What a script returns counts
as output. A call that is under way when a run has failed is given 5 s to say how it ended.

Bounds that no flag raises, told in the same way: 10,000 requests under way, 64 MiB handed over at once, 1,000,000
prints, 1,000,000 returned values. The arguments of a call hold at most 100,000 values.

What it does not hold:

- What an allowed function can do. A script that may create predictions spends money: set a budget. One that may read
  can send what it read to a model that it may call, or into a webhook.
- With `--isolation none` the limits stop accidents and not attacks: no limit is looked at inside one C function, and
  whoever breaks out of Lua is in the process that holds the token.
- Attacks on the processor, such as reading caches.
"""

RUNS = """# Runs that go on where they ended

    kosmo lua flow.lua --journal nightly --write allow       # and the same once more, after whatever end

A journal keeps every answer that a script was given, in the order in which it was given them. The next run of the
script with the same journal is answered from there, without asking the API or you, and goes on live where the journal
ends. A word is a name, kept in the state directory; anything with a dot or a slash is a file.

    kosmo runs list
    kosmo runs show nightly
    kosmo runs resume nightly --write allow
    kosmo runs export nightly > nightly.jsonl
    kosmo runs prune --older-than 30d

What it promises: a call that has ended is never made again, and nothing is created twice. Before a write is sent, its
intent is on disk; one whose end nobody knows is looked for first. A prediction, a training or a file is looked for in
the account's list, by what it runs and its input: found, it is adopted; not found within `--settling-time` (30 s), it
is sent again; where that is not clear, the run stops and shows the candidates, for `--adopt ID` or `--send-again`.
Other writes are read back. These reads are in the call log, and no rule stands in their way.

What is replayed: answers, errors that the script went on from, `time`, `sleep`, `math.random`, `args`, `os.time`,
`os.date` and `os.clock` (which tells the seconds since the run first began), and the order in which `pairs` gives the
names of a table. An error that ended a run is not: the call is made again. Nor are modules and the webhook secret,
which are asked for again, each in its place. What was spent counts against the budgets.

What leads a script elsewhere all the same: `next` in place of `pairs`, the address in `tostring` of a table, and
entries that leave a weak table. Then, or after a change, it is stopped before anything is sent, and both sides are
shown; `--from-here` cuts the journal there and goes on with the script. What it printed before is printed again.

A journal holds inputs and answers; the file is its owner's alone. It is of one account, and of the emulator or the API;
one process at a time may run on it. What the emulator of `--emulate` has made is gone with its process: try a resume
against `kosmo emulator:serve`, with its URL in REPLICATE_URL.

At the prompt `:journal FILE`, or `kosmo repl --journal FILE`, keeps every call of a session with the same promise; the
same inputs entered again get their answers from the file. Such a file is no script's, nor the other way round.

For tests there are cassettes: `--record FILE` writes one, without secrets, and `--replay FILE` runs offline from it.
"""

MODELS = """# What a model takes

    kosmo model black-forest-labs/flux-schnell          its latest version
    kosmo model owner/name:VERSION --json               one version, for a program

It shows the inputs with their defaults and ranges, what comes out, and a line that runs the model. They are read from
the schema of the version. A version never changes, so its schema is kept on disk, in ~/.cache/kosmolua or where
KOSMO_CACHE_DIR says; it may be deleted at any time.
"""

WEBHOOKS = """# Webhooks

A prediction with a `webhook` calls it when it starts, has output or logs, and ends. The call is signed; check it before
you believe it:

    import kosmolua

    kosmolua.verify_webhook(request.headers, request.body, secret)    # a WebhookError says what is wrong

- The body is the bytes as they were received; JSON that was read and written again has another signature.
- The secret is `get_default_webhook_secret`'s. Keep it as you keep the token.
- What is more than 300 seconds old, or ahead, is refused: somebody may have sent it again.
- It returns the webhook's id. A delivery that is repeated has the same one.

From a shell, with the secret in a variable or a file, never on the command line:

    kosmo webhooks:verify --headers request.headers --secret-env WEBHOOK_SECRET < request.body
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
        "budgets": BUDGETS,
        "configuration": CONFIGURATION,
        "errors": _errors(),
        "files": FILES,
        "isolation": ISOLATION,
        "lua": LUA,
        "models": MODELS,
        "pages": PAGES,
        "permissions": PERMISSIONS,
        "runs": RUNS,
        "webhooks": WEBHOOKS,
    }


def title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")
