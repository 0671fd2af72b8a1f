---The arguments after the script's name on the command line. If the script declares arguments, a table by name.
---@type string[]
args = {}

---The same arguments in the form of the `lua` command: `arg[0]` is the script's name.
---@type string[]
arg = {}

---Write values to standard output, separated by tabs.
---@param ... any
function print(...) end

---Write values to standard output, with nothing between or after them.
---@param ... any
function write(...) end

---Write a line to standard error.
---@param ... any
function log(...) end

---Write values as Lua source, and return them.
---@param ... any
---@return any ...
function dump(...) end

---The time in seconds since 1970, with a fraction, from the host's clock.
---@return number
function time() end

---Wait for the given number of seconds without using the CPU.
---@param seconds number
function sleep(seconds) end

---Load a module from the script's directory.
---@param name string
---@return any
function require(name) end

---Standard input: `stdin:read(format)` reads a line or another amount, `stdin:lines()` iterates over the lines.
---@class kosmolua.Input
stdin = {}

---Read a line, or what the formats "l", "L", "n", "a" or a number of bytes request. Returns nil at the end.
---@param ... "l"|"L"|"n"|"a"|integer
---@return any ...
function stdin:read(...) end

---Iterate over the lines.
---@return fun(): string?
function stdin:lines() end

---Standard output or standard error.
---@class kosmolua.Output
local Output = {}

---Write values, with nothing between or after them. Returns the output itself.
---@param ... any
---@return kosmolua.Output
function Output:write(...) end

---Input and output under the names of Lua's own library. Files are opened with `file(path)` and `write_file`.
---@class kosmolua.io
---@field stdin kosmolua.Input
---@field stdout kosmolua.Output
---@field stderr kosmolua.Output
io = {}

---@param ... any
---@return kosmolua.Output
function io.write(...) end

---@param ... "l"|"L"|"n"|"a"|"*l"|"*L"|"*n"|"*a"|integer
---@return any ...
function io.read(...) end

---Iterate over the lines of standard input, or of a file.
---@param path? string
---@return fun(): string?
function io.lines(path) end

---Open a local file for reading. Returns nil and the reason if it cannot be read.
---@param path string
---@param mode? "r"|"rb"
---@return kosmolua.Input?
---@return string? reason
function io.open(path, mode) end

---Where `require` finds modules: `path` has templates, relative to the script.
---@class kosmolua.package
---@field path string
---@field loaded table<string, any>
---@field preload table<string, fun(name: string): any>
package = {}

---The part of Lua's debug library that scripts have: positions of functions.
---@class kosmolua.debug
debug = {}

---@class kosmolua.FunctionInfo
---@field source string
---@field short_src string
---@field what "Lua"|"C"|"main"
---@field currentline integer
---@field linedefined integer
---@field lastlinedefined integer
---@field name? string
---@field namewhat string
---@field nups integer

---@param of integer|function A stack level, counted from 1, or a function.
---@return kosmolua.FunctionInfo?
function debug.getinfo(of) end

---@param value any
---@return any
function debug.getmetatable(value) end

---@param message? string
---@param level? integer
---@return string
function debug.traceback(message, level) end

---The engine that runs the script.
---@class kosmolua.jit
---@field version string
---@field version_num integer
---@field os string
---@field arch string
jit = {}

---End the run with an exit status from 0 to 255. For the statuses that kosmo uses, see the topic `errors`.
---@param status? integer|boolean
function exit(status) end

---A task that runs concurrently with the script.
---@class kosmolua.Task
local Task = {}

---Wait until the task has ended. Returns what its function returned, or raises its error.
---@return any ...
function Task:await() end

---End the task and the tasks that it started, at their next wait. Returns whether anything was ended.
---@return boolean
function Task:cancel() end

---@return "running"|"done"|"failed"|"canceled"
function Task:status() end

---Start a task that calls `f(...)`. It begins when the caller first waits.
---@param f fun(...: any): any
---@param ... any
---@return kosmolua.Task
function spawn(f, ...) end

---@class kosmolua.ParallelOptions
---@field limit? integer How many items are processed at once; default: 8.
---@field on_error? "raise"|"collect" Raise the first error, or collect all outcomes; default: "raise".

---Call `f(item, index)` for each item, several at once. Returns the results in the order of the items.
---@generic Item, Result
---@param items Item[]
---@param f fun(item: Item, index: integer): Result
---@param options? kosmolua.ParallelOptions
---@return Result[]
function parallel(items, f, options) end

---Call the functions concurrently. Returns the result of the first that succeeds, and ends the others.
---@param functions (fun(): any)[]
---@return any ...
function race(functions) end

---A local file, or an output of a prediction. `tostring(file)` returns its path or URL.
---@class kosmolua.File
---@field url? string
---@field path? string
---@operator concat(any): string
local File = {}

---Save the file to a path that the script may write to.
---@param path string
---@param options? kosmolua.DownloadOptions
---@return kosmolua.Saved
function File:save(path, options) end

---Read the text of a local file.
---@param format? "l"|"L"|"n"|"a"|integer Default: "a", the whole text.
---@return any
function File:read(format) end

---Iterate over the lines of a local file, without their line breaks.
---@return fun(): string?
function File:lines() end

---@class kosmolua.Saved
---@field path string
---@field size integer Bytes.
---@field sha256 string
---@field content_type string

---A local file for a model's input. The host reads the file when it sends the input.
---@param path string
---@return kosmolua.File
function file(path) end

---@class kosmolua.WriteOptions
---@field overwrite? boolean Replace a file that this run did not write.

---@class kosmolua.WrittenFile
---@field path string
---@field size integer The number of bytes written.

---Write text to a file that the script may write to.
---@param path string
---@param text string
---@param options? kosmolua.WriteOptions
---@return kosmolua.WrittenFile
function write_file(path, text, options) end

---Append text to a file, which is created if it does not exist.
---@param path string
---@param text string
---@return kosmolua.WrittenFile
function append_file(path, text) end

---@class kosmolua.CreateOptions
---@field validate? boolean Convert and check the input according to the model's schema first; default: true.
---@field cancel_after? string Let the API end the prediction after this time, such as "5m".
---@field lifetime? string The same as `cancel_after`.
---@field webhook? string An HTTPS URL that the API sends the prediction to.
---@field webhook_events_filter? ("start"|"output"|"logs"|"completed")[] The events to send; default: all.

---@class kosmolua.Progress
---@field percent integer
---@field step integer
---@field steps integer

---@class kosmolua.RunOptions: kosmolua.CreateOptions
---@field wait? integer|boolean Let the API delay its answer by 1 to 60 seconds; default: 10.
---@field timeout? number Raise an error with code "timed_out" after this many seconds.
---@field cancel_on_timeout? boolean Cancel on timeout; default: false.
---@field on_progress? fun(prediction: replicate.Prediction, progress?: kosmolua.Progress) Called after each change.
---@field interval? number Seconds between the first polls; default: 0.25.
---@field max_interval? number Seconds between the last polls; default: 5.
---@field cache? string Accept the result of an earlier identical prediction up to this age, such as "12h".

---@class kosmolua.WaitOptions
---@field timeout? number Raise an error with code "timed_out" after this many seconds.
---@field deadline? number The time, as `time()` returns it, at which to raise that error.
---@field cancel_on_timeout? boolean Cancel on timeout; default: false.
---@field on_update? fun(prediction: replicate.Prediction|replicate.Training) Called after each change.
---@field kind? "prediction"|"training" What an id refers to.
---@field interval? number Seconds between the first polls; default: 0.25.
---@field max_interval? number Seconds between the last polls; default: 5.

---@class kosmolua.Event
---@field event "output"|"logs"|"done"
---@field data string
---@field id? string
---@operator concat(any): string

---A model's output while the model writes it: `for event in stream(ref, input) do`.
---@class kosmolua.Stream
---@field prediction replicate.Prediction
---@overload fun(): kosmolua.Event?
local Stream = {}

---Wait for the end, and return the whole output.
---@return string
function Stream:text() end

---Stop reading the stream. The prediction continues.
function Stream:close() end

---Helpers for workflows, for one account.
---@class kosmolua.Workflows
local workflows = {}

---Run a model and return its output, converted according to the model's schema, and the prediction.
---`ref` is owner/name, owner/name:version, a version id, or deployments/owner/name. Raises an error with code
---"prediction_failed" if the prediction does not succeed.
---@param ref string
---@param input? table<string, any>
---@param options? kosmolua.RunOptions
---@return any output
---@return replicate.Prediction prediction
function workflows.run(ref, input, options) end

---Start a prediction and return it at once.
---@param ref string
---@param input? table<string, any>
---@param options? kosmolua.CreateOptions
---@return replicate.Prediction
function workflows.create(ref, input, options) end

---Wait until a prediction or training has ended, and return it, whether it succeeded or not.
---@generic Job: replicate.Prediction|replicate.Training
---@param job Job
---@param options? kosmolua.WaitOptions
---@return Job
---@overload fun(id: string, options?: kosmolua.WaitOptions): replicate.Prediction|replicate.Training
function workflows.wait(job, options) end

---Start a prediction, or take an existing one, and read the output while the model writes it. Raises an error if the
---prediction fails.
---@param ref string|replicate.Prediction
---@param input? table<string, any>
---@param options? kosmolua.CreateOptions
---@return kosmolua.Stream
function workflows.stream(ref, input, options) end

---@class kosmolua.EachOptions
---@field limit? integer The maximum number of items.

---Iterate over all items of a list, page by page: `for model in each("list_models") do`.
---@param name string A function that returns pages.
---@param arguments? table<string, any>
---@param options? kosmolua.EachOptions
---@return fun(): any
function workflows.each(name, arguments, options) end

---@class kosmolua.DownloadOptions
---@field overwrite? boolean Replace a file that this run did not write.

---Save an output to a path that the script may write to, or a list of outputs below a path that ends in "/".
---@param what string|kosmolua.File|(string|kosmolua.File)[]
---@param path string
---@param options? kosmolua.DownloadOptions
---@return kosmolua.Saved|kosmolua.Saved[]
function workflows.download(what, path, options) end

---Cancel predictions and trainings, given as objects or ids. Without a list, cancel all that the script started and that
---may still be running.
---@param list? (replicate.Prediction|replicate.Training|string)[]
---@return (replicate.Prediction|replicate.Training)[]
function workflows.cancel_all(list) end

run = workflows.run

wait = workflows.wait

stream = workflows.stream

each = workflows.each

download = workflows.download

---Regular expressions, matched in linear time.
---@class kosmolua.regex
regex = {}

---@class kosmolua.Match
---@field text string
---@field start integer The first byte, from 1.
---@field stop integer The last byte.
---@field groups (string|false)[]
---@field named table<string, string|false>

---The first match, or nil. Flags are "i", "m" and "s".
---@param text string
---@param pattern string
---@param flags? string
---@return kosmolua.Match?
function regex.match(text, pattern, flags) end

---All matches, at most `limit`.
---@param text string
---@param pattern string
---@param flags? string
---@param limit? integer
---@return kosmolua.Match[]
function regex.match_all(text, pattern, flags, limit) end

---The text with each match replaced, and the number of matches. A replacement is a string with $1, ${name} and $0, or a
---function.
---@param text string
---@param pattern string
---@param replacement string|fun(match: kosmolua.Match): string?
---@param flags? string
---@return string
---@return integer
function regex.gsub(text, pattern, replacement, flags) end

---The documentation: functions, helpers and topics.
---@class kosmolua.docs
docs = {}

---@class kosmolua.DocsPage
---@field name string
---@field kind "read"|"write"|"helper"|"page" "read" and "write" are functions of the API.
---@field summary string

---All pages.
---@return kosmolua.DocsPage[]
function docs.list() end

---The pages that match, best first.
---@param query string
---@return kosmolua.DocsPage[]
function docs.search(query) end

---One page as Markdown.
---@param name string
---@return string
function docs.read(name) end

---JSON that keeps nulls in lists, empty lists and large integers.
---@class kosmolua.json
---@field null userdata Represents null in a list.
json = {}

---@class kosmolua.JsonOptions
---@field indent? integer Spaces per level, from 0 to 16; default: 0, one line.

---@param value any
---@param options? kosmolua.JsonOptions
---@return string
function json.encode(value, options) end

---@param text string
---@return any
function json.decode(text) end

---Mark a table as a list, so that it is one in JSON even if it is empty.
---@generic T: table
---@param t T
---@return T
function json.array(t) end

---Mark a table as an object, so that it is one in JSON even if it is empty.
---@generic T: table
---@param t T
---@return T
function json.object(t) end

---The error that a call raises. `tostring(error)` returns its message.
---@class kosmolua.Error
---@field code string A stable code, such as "not_found".
---@field message string
---@field function? string
---@field status? integer The status of the API's answer.
---@field detail? string
---@field hint? string
---@field retry_after? number Seconds.
---@field where? string The line of the script.
