-- `regex` for scripts: RE2 syntax in time linear in the text, so that no pattern can hang a run. A Pike machine (Cox,
-- "Regular Expression Matching: the Virtual Machine Approach") runs all threads of a program in parallel: at most one
-- per instruction, ordered by preference, so that the match is the first that a backtracking engine would find. Text
-- and pattern are UTF-8; if one of them is not, both are treated as bytes.

local use = ...
local values, program = use("values"), use("program")

local M = {}

local byte, sub, find, format = string.byte, string.sub, string.find, string.format
local concat, huge = table.concat, math.huge
local error, next, tonumber, tostring, type = error, next, tonumber, tostring, type
local is_utf8, utf8_code = values.is_utf8, values.utf8_code
local CHAR, SET, SPLIT, JUMP, SAVE, MATCH = program.CHAR, program.SET, program.SPLIT, program.JUMP, program.SAVE,
  program.MATCH
local compile = program.compile

local MAX_CACHED = 100000 -- instructions of all cached programs
local ENTRY = 100 -- the cost of a cached program besides its instructions

local refuse = function(name, reason) error("regex." .. name .. ": " .. reason, 0) end

--- Report mistakes in a call by `raise(name, reason)` instead of a plain error.
function M.refuse_with(raise) refuse = raise end

-- Matching -----------------------------------------------------------------------------------------------------
-- All searches share these tables, because no search starts while another runs.

local stack, marks, generation = {}, {}, 0 -- an instruction marked with this generation is already in the list
local work, found = {}, {} -- the slots of the thread being moved, and the slots of the match
-- For the current and the next character: the instructions of all threads, and the slots of all threads in a row.
local threads, slots, next_threads, next_slots = {}, {}, {}, {}

local WORD = {}
for code = 0, 127 do
  WORD[code] = find(string.char(code), "[%w_]") and true
end

local function holds(assertion, text, position)
  if assertion == "text start" then return position == 1 end
  if assertion == "text end" then return position > #text end
  if assertion == "line start" then return position == 1 or byte(text, position - 1) == 10 end
  if assertion == "line end" then return position > #text or byte(text, position) == 10 end
  local before, behind = position > 1 and WORD[byte(text, position - 1)], WORD[byte(text, position) or -1]
  return (before or nil) ~= behind == (assertion == "word edge")
end

-- Add the threads that reach `pc` without reading a character, in order of preference, with the slots in `work`.
-- Returns the new number of threads. A negative number on the stack is a slot to restore to the value below it.
local function add(program, list, list_slots, count, pc, text, position)
  local op, x, y, width = program.op, program.x, program.y, program.width
  local depth = 0
  while true do
    if pc < 0 then
      work[-pc] = stack[depth]
      depth = depth - 1
    elseif marks[pc] ~= generation then
      marks[pc] = generation
      local operation = op[pc]
      if operation <= SET or operation == MATCH then
        local base = count * width
        for i = 1, width do
          list_slots[base + i] = work[i]
        end
        count = count + 1
        list[count] = pc
      elseif operation == SPLIT then
        stack[depth + 1], stack[depth + 2] = y[pc], x[pc]
        depth = depth + 2
      elseif operation == JUMP then
        depth = depth + 1
        stack[depth] = x[pc]
      elseif operation == SAVE then
        local slot = x[pc]
        stack[depth + 1], stack[depth + 2], stack[depth + 3] = work[slot], -slot, pc + 1
        depth = depth + 3
        work[slot] = position
      elseif holds(x[pc], text, position) then
        depth = depth + 1
        stack[depth] = pc + 1
      end
    end
    if depth == 0 then return count end
    pc = stack[depth]
    depth = depth - 1
  end
end

local function in_set(set, code)
  if code < 128 then return set[code] end
  local ranges = set.ranges
  for i = #ranges, 1, -2 do
    if code > ranges[i] then return false end
    if code >= ranges[i - 1] then return true end
  end
  return false
end

-- The next position from which a match is worth trying.
local function candidate(program, text, position)
  if program.anchored then return position == 1 and 1 or nil end
  if program.prefix then return find(text, program.prefix, position, true) end
  if program.first_pattern then return find(text, program.first_pattern, position) end
  return position
end

-- Search from a position. Returns the start of the match and the position after it, with its groups in `found`; or nil.
local function search(program, text, position)
  local op, x, first, width, in_bytes = program.op, program.x, program.first, program.width, program.in_bytes
  local here, here_slots, there, there_slots = threads, slots, next_threads, next_slots
  local count, length, stop = 0, #text, nil
  while true do
    if count == 0 then
      if stop then return found[1], stop end
      position = candidate(program, text, position)
      if not position then return nil end
      generation = generation + 1
    end
    local code, behind = byte(text, position), position + 1
    if not stop and (not first or first[code]) then
      work[1] = position
      for i = 2, width do
        work[i] = 0
      end
      count = add(program, here, here_slots, count, 1, text, position)
    end
    if not code then
      code = -1
    elseif code >= 128 and not in_bytes then
      code, behind = utf8_code(text, position)
    end
    generation = generation + 1
    local kept = 0
    for i = 1, count do
      local pc = here[i]
      local operation = op[pc]
      if operation == MATCH then
        for slot = 1, width do
          found[slot] = here_slots[(i - 1) * width + slot]
        end
        stop = position
        break
      end
      if operation == CHAR and x[pc] == code or operation == SET and in_set(x[pc], code) then
        for slot = 1, width do
          work[slot] = here_slots[(i - 1) * width + slot]
        end
        kept = add(program, there, there_slots, kept, pc + 1, text, behind)
      end
    end
    here, here_slots, there, there_slots, count = there, there_slots, here, here_slots, kept
    if position > length then
      if stop then return found[1], stop end
      return nil
    end
    position = behind
  end
end

-- The next match in a sequence of matches. It skips an empty match directly after the previous match.
local function search_behind(program, text, position, last)
  local start, stop = search(program, text, position)
  if start ~= last or stop ~= last then return start, stop end
  if last > #text then return nil end
  local behind = last + 1
  if not program.in_bytes then
    local _
    _, behind = utf8_code(text, last)
  end
  return search(program, text, behind)
end

-- Functions of scripts -----------------------------------------------------------------------------------------

local cache, cached = {}, 0

local function expect(name, what, wanted, value)
  if type(value) ~= wanted then
    refuse(name, format("expected %s, got %s", what, values.kind(value)))
  end
end

-- The program of a call's pattern.
local function program_of(name, text, source, letters)
  expect(name, "a text", "string", text)
  expect(name, "a pattern after the text", "string", source)
  letters = letters == nil and "" or letters
  if type(letters) ~= "string" or not find(letters, "^[ims]*$") then
    refuse(name, format('expected flags of "i", "m" and "s", got %s', type(letters) == "string"
      and format("%q", values.scrub(letters)) or values.kind(letters)))
  end
  local bytes = not (is_utf8(text) and is_utf8(source))
  local key = letters .. (bytes and " bytes " or " ") .. source
  if cache[key] then return cache[key] end
  local program = compile(source, letters, bytes, function(reason) refuse(name, reason) end)
  cached = cached + program.size + ENTRY
  if cached > MAX_CACHED then
    cache, cached = {}, program.size + ENTRY
  end
  cache[key] = program
  return program
end

-- The text of a group (0 is the whole match); false if it did not take part.
local function group_text(text, index, start, stop)
  if index == 0 then return sub(text, start, stop - 1) end
  local from, behind = found[2 * index], found[2 * index + 1]
  return behind > 0 and sub(text, from, behind - 1)
end

local function result(program, text, start, stop)
  local list, named = {}, {}
  for i = 1, program.groups do
    list[i] = group_text(text, i, start, stop)
  end
  for name, index in next, program.names do
    named[name] = list[index]
  end
  return {
    text = sub(text, start, stop - 1),
    start = start,
    stop = stop - 1,
    groups = values.array(list),
    named = values.object(named),
  }
end

--- The first match of the pattern in the text, or nil: `{ text = "2024-05", start = 4, stop = 10, groups = { "2024",
--- "05" }, named = { year = "2024" } }`. `start` and `stop` count bytes from 1, as those of `string.find`; an empty
--- match stops before it starts. `groups` has the text of each group in the order of the opening parentheses, `false`
--- for one that did not take part; `named` has those with a name. Among the matches that start first, it is the one
--- that a backtracking engine finds. `flags` is a string of "i" (letters A to Z match in both cases), "m" (`^` and `$`
--- match at each line, and not just at the ends of the text) and "s" (`.` matches a newline). Takes time in proportion
--- to the text, times the pattern at worst. An invalid pattern raises `invalid_arguments`, with the position in the
--- pattern.
function M.match(text, pattern, flags)
  local program = program_of("match", text, pattern, flags)
  local start, stop = search(program, text, 1)
  return start and result(program, text, start, stop)
end

--- All matches that do not overlap, from left to right, as a list of what `regex.match` returns; at most `limit` if it
--- is given. After an empty match the search continues one character later, and an empty match directly after another
--- match does not count: `a*` in "baac" is found at 1, 2 and 5. Each search is linear in the text that it reads. The
--- total time is quadratic if every search reads to the end of the text.
function M.match_all(text, pattern, flags, limit)
  local program = program_of("match_all", text, pattern, flags)
  limit = limit == nil and huge or limit
  expect("match_all", "a number as limit", "number", limit)
  local list, count = {}, 0
  local start, stop = search(program, text, 1)
  while start and count < limit do
    count = count + 1
    list[count] = result(program, text, start, stop)
    start, stop = search_behind(program, text, stop, stop)
  end
  return values.array(list)
end

-- The pieces of a replacement: strings, and group numbers.
local function pieces_of(program, replacement)
  local pieces, from = {}, 1
  while true do
    local dollar = find(replacement, "$", from, true)
    pieces[#pieces + 1] = sub(replacement, from, (dollar or 0) - 1)
    if not dollar then return pieces end
    local _, to, name = find(replacement, "^{([%w_]+)}", dollar + 1)
    if not to then _, to, name = find(replacement, "^([%w_]+)", dollar + 1) end
    if sub(replacement, dollar + 1, dollar + 1) == "$" then
      to = dollar + 1
      pieces[#pieces + 1] = "$"
    elseif not to then
      refuse("gsub", format("expected a group number, a group name or another `$` after `$` - at byte %d of the "
        .. "replacement", dollar))
    else
      local index = program.names[name] or find(name, "^%d+$") and tonumber(name)
      if not index or index > program.groups then
        refuse("gsub", format("the pattern has no group `%s`; write `${1}x` for a group before text - at byte %d of "
          .. "the replacement", name, dollar))
      end
      pieces[#pieces + 1] = index
    end
    from = to + 1
  end
end

local function replaced(pieces, text, start, stop)
  local parts = {}
  for i = 1, #pieces do
    local piece = pieces[i]
    parts[i] = type(piece) == "string" and piece or group_text(text, piece, start, stop) or ""
  end
  return concat(parts)
end

-- The text that a script's function returns for a match; the match itself if the function returns nothing.
local function called(f, found_match)
  local value = f(found_match)
  if value == nil or value == false then return found_match.text end
  if type(value) ~= "string" and type(value) ~= "number" then
    refuse("gsub", format("expected a string from the function, got a %s", type(value)))
  end
  return tostring(value)
end

--- The text with every match replaced, and the number of matches. In a replacement string, `$1` or `${1}` is a group,
--- `$name` or `${name}` a named one, `$0` the match and `$$` a dollar sign; a group that did not take part is empty. A
--- function gets what `regex.match` returns, and returns the new text, or nil to leave the match as it is; it may call
--- anything, functions of the host included.
function M.gsub(text, pattern, replacement, flags)
  local program = program_of("gsub", text, pattern, flags)
  local f = type(replacement) == "function" and replacement
  if not f then expect("gsub", "a string or a function as replacement", "string", replacement) end
  local pieces = not f and pieces_of(program, replacement)
  local parts, count, from = {}, 0, 1
  local start, stop = search(program, text, 1)
  while start do
    count = count + 1
    parts[2 * count - 1] = sub(text, from, start - 1)
    parts[2 * count] = f and called(f, result(program, text, start, stop)) or replaced(pieces, text, start, stop)
    from = stop
    start, stop = search_behind(program, text, stop, stop)
  end
  parts[2 * count + 1] = sub(text, from)
  return concat(parts), count
end

return M
