-- `regex` as scripts see it: the syntax of RE2, in time linear in the text, so no pattern can hang a run. A pattern is
-- parsed to a tree, the tree becomes a program, and a Pike machine (Cox, "Regular Expression Matching: the Virtual
-- Machine Approach") runs all threads of the program side by side: at most one for each instruction, ordered by
-- preference, so that the match is the one a backtracking engine would find first.
-- Text and pattern are UTF-8; where one of them is not, both are taken as bytes.

local use = ...
local values = use("values")

local M = {}

local byte, char, sub, find, format, gmatch, gsub, lower = string.byte, string.char, string.sub, string.find,
  string.format, string.gmatch, string.gsub, string.lower
local concat, sort, min, max, huge = table.concat, table.sort, math.min, math.max, math.huge
local error, ipairs, next, pairs, tonumber, tostring, type = error, ipairs, next, pairs, tonumber, tostring, type
local is_utf8, utf8_char = values.is_utf8, values.utf8_char

local MAX_CODE = 0x10ffff
local MAX_REPEAT = 1000 -- as RE2
local MAX_SIZE = 20000 -- instructions of a program; a step of the text takes at most as many steps of the machine
local MAX_GROUPS = 100 -- a thread carries the places of all of them
local MAX_DEPTH = values.MAX_DEPTH
local MAX_CACHED = 100000 -- instructions of all programs that are kept
local ENTRY = 100 -- what one of them costs beside its instructions

local refuse = function(name, reason) error("regex." .. name .. ": " .. reason, 0) end

--- Lets `raise(name, reason)` raise what is wrong with a call, in place of a plain error.
function M.refuse_with(raise) refuse = raise end

-- Sets of characters -------------------------------------------------------------------------------------------
-- A list of ranges, {first, last, first, last, …}.

local PERL = { d = { 48, 57 }, s = { 9, 13, 32, 32 }, w = { 48, 57, 65, 90, 95, 95, 97, 122 } }
local POSIX = {
  alnum = { 48, 57, 65, 90, 97, 122 }, alpha = { 65, 90, 97, 122 }, ascii = { 0, 127 }, blank = { 9, 9, 32, 32 },
  cntrl = { 0, 31, 127, 127 }, digit = PERL.d, graph = { 33, 126 }, lower = { 97, 122 }, print = { 32, 126 },
  punct = { 33, 47, 58, 64, 91, 96, 123, 126 }, space = PERL.s, upper = { 65, 90 }, word = PERL.w,
  xdigit = { 48, 57, 65, 70, 97, 102 },
}

-- The same set in order, without overlap.
local function normal(ranges)
  local order, merged, count = {}, {}, 0
  for i = 1, #ranges, 2 do
    order[(i + 1) / 2] = i
  end
  sort(order, function(a, b) return ranges[a] < ranges[b] end)
  for _, i in ipairs(order) do
    local from, to = ranges[i], ranges[i + 1]
    if count > 0 and from <= merged[count] + 1 then
      merged[count] = max(merged[count], to)
    else
      merged[count + 1], merged[count + 2] = from, to
      count = count + 2
    end
  end
  return merged
end

local function complement(ranges)
  local rest, from = {}, 0
  ranges = normal(ranges)
  for i = 1, #ranges, 2 do
    if ranges[i] > from then rest[#rest + 1], rest[#rest + 2] = from, ranges[i] - 1 end
    from = ranges[i + 1] + 1
  end
  if from <= MAX_CODE then rest[#rest + 1], rest[#rest + 2] = from, MAX_CODE end
  return rest
end

local function include(ranges, more)
  for i = 1, #more do
    ranges[#ranges + 1] = more[i]
  end
end

-- Adds what lies in `from` to `to` again, moved: lower-case letters as capitals, or the other way round.
local function fold(ranges, from, to, distance)
  for i = 1, #ranges, 2 do
    local first, last = max(ranges[i], from), min(ranges[i + 1], to)
    if first <= last then include(ranges, { first + distance, last + distance }) end
  end
end

-- Parsing: pattern -> tree -------------------------------------------------------------------------------------
-- A node has its `kind`, and the `size` of its program, which counts nothing as one: else `(?:){1000}` could be nested
-- to take for ever and yield no instruction.

local caller -- the function whose pattern is read
local pattern, at, in_bytes -- what is being read, and where
local flags, groups, names

local function fail(reason, position)
  local before = sub(pattern, 1, (position or at) - 1)
  local _, continuing = gsub(before, "[\128-\191]", "")
  local place = #before - (in_bytes and 0 or continuing) + 1
  refuse(caller, format("%s - at character %d of the pattern", reason, place))
end

local function sized(node, size, position)
  if size > MAX_SIZE then fail(format("the pattern is too large: more than %d instructions", MAX_SIZE), position) end
  node.size = size
  return node
end

-- The character at a position of UTF-8, and the position behind it.
local function decode(text, position)
  local a, b, c, d = byte(text, position, position + 3)
  if a < 0xc0 then return a, position + 1 end
  if a < 0xe0 then return a * 64 + b - 0x3080, position + 2 end
  if a < 0xf0 then return a * 4096 + b * 64 + c - 0xe2080, position + 3 end
  return a * 262144 + b * 4096 + c * 64 + d - 0x3c82080, position + 4
end

local function take(text)
  if sub(pattern, at, at + #text - 1) ~= text then return false end
  at = at + #text
  return true
end

local function take_match(form)
  local from, to, a, b, c = find(pattern, form, at)
  if from then at = to + 1 end
  return a, b, c
end

local function next_code()
  if in_bytes then
    at = at + 1
    return byte(pattern, at - 1)
  end
  local code
  code, at = decode(pattern, at)
  return code
end

local function set_node(ranges, negated)
  if flags.i then
    fold(ranges, 97, 122, -32)
    fold(ranges, 65, 90, 32)
  end
  return { kind = "set", size = 1, ranges = negated and complement(ranges) or normal(ranges) }
end

local CONTROL = { f = 12, n = 10, r = 13, t = 9, v = 11 }

local BACK_REFERENCE = "back-references are not supported: they can take exponential time"

local NO_ESCAPE = {
  { "^[1-9kg]", BACK_REFERENCE },
  { "^[pP]", "Unicode properties are not supported: name the characters, as in `[a-zé]`" },
  { "^Z", "`\\Z` is not supported: `\\z` is the end of the text" },
}

-- What stands behind a backslash: a set of ranges, or a character.
local function escape()
  local start = at
  at = at + 1
  local letter = sub(pattern, at, at)
  if letter == "" then fail("expected a character behind the backslash, got the end of the pattern", start) end
  if PERL[letter] then
    at = at + 1
    return PERL[letter]
  elseif find(letter, "[DSW]") then
    at = at + 1
    return complement(PERL[lower(letter)])
  elseif CONTROL[letter] then
    at = at + 1
    return nil, CONTROL[letter]
  elseif letter == "x" then
    local digits = take_match("^x{(%x+)}") or take_match("^x(%x%x)")
    if not digits then fail("expected two hexadecimal digits, or `{…}` of more, behind `\\x`", start) end
    local code = tonumber(digits, 16)
    if #digits > 8 or code > MAX_CODE then fail("expected a character up to 10FFFF behind `\\x`", start) end
    return nil, code
  elseif find(letter, "[^%w\128-\255]") then
    at = at + 1
    return nil, byte(letter)
  end
  for _, entry in ipairs(NO_ESCAPE) do
    if find(pattern, entry[1], at) then fail(entry[2], start) end
  end
  next_code()
  fail(format("unknown escape `%s`", values.scrub(sub(pattern, start, at - 1))), start)
end

-- One item of a class: a set of ranges, or a character.
local function class_item()
  local start = at
  local negated, name = take_match("^%[:(%^?)(%w+):%]")
  if name then
    if not POSIX[name] then fail(format("there is no class `[:%s:]`", name), start) end
    return negated == "" and POSIX[name] or complement(POSIX[name])
  end
  if byte(pattern, at) == 92 then return escape() end
  return nil, next_code()
end

local function class()
  local start, ranges = at, {}
  at = at + 1
  local negated, is_first = take("^"), true
  while is_first or not take("]") do
    if at > #pattern then fail("expected `]` for this `[`, got the end of the pattern", start) end
    local from = at
    local set, first = class_item()
    local last = first
    if find(pattern, "^%-[^%]]", at) then
      at = at + 1
      local set_behind
      set_behind, last = class_item()
      if set or set_behind then fail("a range needs a character on each side", from) end
      if last < first then fail("the range is out of order", from) end
    end
    include(ranges, set or { first, last })
    is_first = false
  end
  return set_node(ranges, negated)
end

local alternation

local NO_GROUP = {
  { "^%?<?[=!]", "lookaround is not supported" },
  { "^%?>", "atomic groups are not supported; none is needed, since nothing is tried twice" },
  { "^%?P=", BACK_REFERENCE },
}

local function set_flags(on, off)
  local changed = { i = flags.i, m = flags.m, s = flags.s }
  for letter in gmatch(on, ".") do
    changed[letter] = true
  end
  for letter in gmatch(off, ".") do
    changed[letter] = false
  end
  flags = changed
end

local function capture(name, start)
  groups = groups + 1
  if groups > MAX_GROUPS then fail(format("more than %d groups; `(?:…)` groups without keeping", MAX_GROUPS), start) end
  if name then
    if names[name] then fail(format("there are two groups `%s`", name), start) end
    names[name] = groups
  end
  return { kind = "group", index = groups }
end

-- Reads what follows `(?`, sets its flags, and returns whether a group is opened by it, and the node of one to be kept.
local function extension(start)
  local name = take_match("^P?<([%a_][%w_]*)>")
  if name then return true, capture(name, start) end
  local on, off = take_match("^([ims]*)"), take_match("^%-([ims]+)") or ""
  local stop = take_match("^([:)])")
  if not stop or on .. off .. stop == ")" then
    fail("expected `(?:`, `(?<name>` or flags, as in `(?i)`, for this `(?`", start)
  end
  set_flags(on, off)
  return stop == ":"
end

local function group(depth)
  local start, outer = at, flags
  if depth == MAX_DEPTH then fail(format("groups are nested more than %d levels", MAX_DEPTH)) end
  at = at + 1
  for _, entry in ipairs(NO_GROUP) do
    if find(pattern, entry[1], at) then fail(entry[2], start) end
  end
  local opens, node = true, nil
  if take("?") then
    opens, node = extension(start)
  else
    node = capture(nil, start)
  end
  if not opens then return { kind = "cat", size = 1 } end -- flags that hold to the end of the group around them
  local inner = alternation(depth + 1)
  if not take(")") then fail("expected `)` for this `(`, got the end of the pattern", start) end
  flags = outer
  if not node then return inner end
  node[1] = inner
  return sized(node, inner.size + 2)
end

local ASSERTIONS = { A = "text start", z = "text end", b = "word edge", B = "no word edge" }

local function atom(depth)
  local c = sub(pattern, at, at)
  if c == "(" then return group(depth) end
  if c == "[" then return class() end
  if find(c, "[*+?]") then fail(format("nothing to repeat stands before `%s`", c)) end
  if c == "." or c == "^" or c == "$" then
    at = at + 1
    if c == "." then return { kind = "set", size = 1, ranges = flags.s and { 0, MAX_CODE } or complement({ 10, 10 }) } end
    return { kind = "assert", size = 1, (flags.m and "line " or "text ") .. (c == "^" and "start" or "end") }
  elseif c == "\\" then
    local assertion = ASSERTIONS[sub(pattern, at + 1, at + 1)]
    if assertion then
      at = at + 2
      return { kind = "assert", size = 1, assertion }
    end
    local set, code = escape()
    local ranges = {}
    include(ranges, set or { code, code })
    return set_node(ranges)
  end
  local code = next_code()
  return set_node({ code, code })
end

-- How often what stands before is repeated: at least, at most; nil where nothing says so.
local function counts()
  if take("*") then return 0, huge end
  if take("+") then return 1, huge end
  if take("?") then return 0, 1 end
  if not find(pattern, "^{,?%d", at) then return nil end -- a brace like any other character
  local exactly = tonumber(take_match("^{(%d+)}") or nil)
  if exactly then return exactly, exactly end
  local least, most = take_match("^{(%d*),(%d*)}")
  if least then return tonumber(least), tonumber(most) or huge end
end

local function repeated(node)
  local start = at
  local least, most = counts()
  if not most then return node end
  if node.kind == "assert" then fail("nothing to repeat stands before this", start) end
  if not least then fail("expected a number before the comma, as in `{0,3}`", start) end
  if least > MAX_REPEAT or (most > MAX_REPEAT and most < huge) then
    fail(format("repeats more than %d times", MAX_REPEAT), start)
  end
  if most < least then fail("the most is less than the least", start) end
  local lazy = take("?")
  if take("+") then fail("possessive repetition is not supported; none is needed, since nothing is tried twice", start) end
  if find(pattern, "^[*+?]", at) or find(pattern, "^{%d+,?%d*}", at) then
    fail("a repetition is repeated; put `(?:…)` around the first")
  end
  local times = most < huge and max(most, 1) or least + 1
  return sized({ kind = "loop", node, least = least, most = most, lazy = lazy }, times * (node.size + 1),
    start)
end

local function sequence(depth)
  local items, size = { kind = "cat" }, 1
  while at <= #pattern and not find(pattern, "^[|)]", at) do
    local item = repeated(atom(depth))
    items[#items + 1] = item
    size = sized(items, size + item.size).size
  end
  return sized(items, size)
end

function alternation(depth)
  local branches = { kind = "alt", sequence(depth) }
  local size = branches[1].size
  while take("|") do
    local branch = sequence(depth)
    branches[#branches + 1] = branch
    size = size + branch.size + 2
  end
  return #branches == 1 and branches[1] or sized(branches, size)
end

local function parse()
  local tree = alternation(0)
  if at <= #pattern then fail("there is no `(` for this `)`") end
  return tree
end

-- Compiling: tree -> program -----------------------------------------------------------------------------------
-- Instructions lie in three lists, side by side. Slot 1 of a thread is where its match starts; group n has the slots
-- 2n and 2n + 1.

local CHAR, SET, SPLIT, JUMP, SAVE, ASSERT, MATCH = 1, 2, 3, 4, 5, 6, 7

local op, x, y, size -- the program that is being written

local function emit(operation, first, second)
  size = size + 1
  op[size], x[size], y[size] = operation, first or 0, second or 0
  return size
end

-- Sets where a SPLIT goes on: into the instruction behind it, or past what follows, whichever is preferred.
local function aim(split, past, lazy)
  x[split], y[split] = lazy and past or split + 1, lazy and split + 1 or past
end

-- A set for the matcher: ASCII by index, what is beyond by ranges.
local function lookup(ranges)
  local set = { ranges = ranges }
  for i = 1, #ranges, 2 do
    for code = ranges[i], min(ranges[i + 1], 127) do
      set[code] = true
    end
  end
  return set
end

local write

local writers = {
  set = function(node)
    local ranges = node.ranges
    if #ranges == 2 and ranges[1] == ranges[2] then return emit(CHAR, ranges[1]) end
    node.lookup = node.lookup or lookup(ranges)
    emit(SET, node.lookup)
  end,
  cat = function(node)
    for i = 1, #node do
      write(node[i])
    end
  end,
  alt = function(node)
    local jumps = {}
    for i = 1, #node - 1 do
      local split = emit(SPLIT)
      write(node[i])
      jumps[i] = emit(JUMP)
      aim(split, size + 1)
    end
    write(node[#node])
    for i = 1, #jumps do
      x[jumps[i]] = size + 1
    end
  end,
  group = function(node)
    emit(SAVE, 2 * node.index)
    write(node[1])
    emit(SAVE, 2 * node.index + 1)
  end,
  assert = function(node) emit(ASSERT, node[1]) end,
}

-- `x*` is written as `(x+)?`: an x that may be empty is then tried once before it is passed by, as elsewhere. One
-- difference remains, as in RE2: where x was empty a backtracking engine ends the loop, while threads that came to it
-- otherwise go on, so `(?:\B|.)*` finds more here.
function writers.loop(node)
  local least, most, lazy = node.least, node.most, node.lazy
  local endless, splits = most == huge, {}
  for _ = 1, endless and least - 1 or least do
    write(node[1])
  end
  if endless and least == 0 then splits[1] = emit(SPLIT) end
  if endless then
    local start = size + 1
    write(node[1])
    local split = emit(SPLIT)
    x[split], y[split] = lazy and split + 1 or start, lazy and start or split + 1
  else
    for i = 1, most - least do
      splits[i] = emit(SPLIT)
      write(node[1])
    end
  end
  for i = 1, #splits do
    aim(splits[i], size + 1, lazy)
  end
end

function write(node) writers[node.kind](node) end

-- Which bytes a match can begin with; nil where it can be empty.
local function first_bytes(program)
  local first, seen, stack, depth = {}, {}, { 1 }, 1
  while depth > 0 do
    local pc = stack[depth]
    depth = depth - 1
    local operation = program.op[pc]
    if operation == MATCH then return nil end
    if seen[pc] then operation = nil end
    seen[pc] = true
    if operation == CHAR or operation == SET then
      local ranges = operation == SET and program.x[pc].ranges or { program.x[pc], program.x[pc] }
      for i = 1, #ranges, 2 do
        local from, to = ranges[i], ranges[i + 1]
        if not in_bytes then from, to = byte(utf8_char(from)), byte(utf8_char(to)) end
        for lead = from, min(to, 255) do
          first[lead] = in_bytes or lead < 0x80 or lead > 0xbf or nil -- no character begins amid another
        end
      end
    elseif operation == SPLIT then
      stack[depth + 1], stack[depth + 2] = program.y[pc], program.x[pc]
      depth = depth + 2
    elseif operation then
      stack[depth + 1] = operation == JUMP and program.x[pc] or pc + 1
      depth = depth + 1
    end
  end
  return first
end

-- The same as a pattern of Lua's. Zero cannot stand in one, but `%c` has it, and a byte too many does no harm.
local function byte_pattern(first)
  local bytes, count = {}, 0
  for code = 1, 255 do
    if first[code] then
      count = count + 1
      bytes[count] = (code < 128 and code > 32 and find(char(code), "%p") and "%" or "") .. char(code)
    end
  end
  if first[0] then bytes[#bytes + 1] = "%c" end
  if count > 0 and count < 255 then return "[" .. concat(bytes) .. "]" end
end

-- What every match begins with, as a text, and whether every match begins where the text does.
local function beginning(program)
  local codes, pc = {}, 1
  while program.op[pc] == SAVE do
    pc = pc + 1
  end
  local anchored = program.op[pc] == ASSERT and program.x[pc] == "text start"
  while program.op[pc] == CHAR or program.op[pc] == SAVE do
    local code = program.x[pc]
    if program.op[pc] == CHAR then codes[#codes + 1] = (in_bytes and code < 256 and char or utf8_char)(code) end
    pc = pc + 1
  end
  return #codes > 0 and concat(codes) or nil, anchored
end

local function compile()
  groups, names = 0, {}
  local tree = parse()
  op, x, y, size = {}, {}, {}, 0
  write(tree)
  emit(MATCH)
  local program = { op = op, x = x, y = y, size = size, groups = groups, names = names, in_bytes = in_bytes,
    width = 2 * groups + 1 }
  program.first = first_bytes(program)
  program.first_pattern = program.first and byte_pattern(program.first)
  program.prefix, program.anchored = beginning(program)
  op, x, y = nil, nil, nil
  return program
end

-- Matching -----------------------------------------------------------------------------------------------------
-- What a search works with is shared by all of them, since none is under way when another begins.

local stack, marks, generation = {}, {}, 0 -- an instruction marked with this generation is in the list already
local work, found = {}, {} -- slots: of the thread being moved, and of the match
local threads, slots, next_threads, next_slots = {}, {}, {}, {} -- instructions, and the slots of each in turn

local WORD = lookup(PERL.w)

local function holds(assertion, text, position)
  if assertion == "text start" then return position == 1 end
  if assertion == "text end" then return position > #text end
  if assertion == "line start" then return position == 1 or byte(text, position - 1) == 10 end
  if assertion == "line end" then return position > #text or byte(text, position) == 10 end
  local before, behind = position > 1 and WORD[byte(text, position - 1)], WORD[byte(text, position) or -1]
  return (before or nil) ~= behind == (assertion == "word edge")
end

-- Adds the threads that are at `pc` before any character is read, in the order of preference, with the slots in `work`.
-- Returns how many there are then. A negative number on the stack is a slot to be set back, to what lies below it.
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

-- Searches from a position on. Returns where the match starts and what is behind it, its groups in `found`; or nil.
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
      code, behind = decode(text, position)
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

-- The next match for one who goes from match to match: not an empty one where the last has ended.
local function search_behind(program, text, position, last)
  local start, stop = search(program, text, position)
  if start ~= last or stop ~= last then return start, stop end
  if last > #text then return nil end
  local lead = byte(text, last)
  local step = (program.in_bytes or lead < 0xc0) and 1 or lead < 0xe0 and 2 or lead < 0xf0 and 3 or 4
  return search(program, text, last + step)
end

-- Functions of scripts -----------------------------------------------------------------------------------------

local cache, cached = {}, 0

local function expect(name, what, wanted, value)
  if type(value) ~= wanted then
    refuse(name, format("expected %s, got %s", what, value == nil and "nothing" or "a " .. type(value)))
  end
end

-- The program of a call's pattern.
local function program_of(name, text, source, letters)
  expect(name, "a text", "string", text)
  expect(name, "a pattern behind the text", "string", source)
  letters = letters == nil and "" or letters
  if type(letters) ~= "string" or not find(letters, "^[ims]*$") then
    refuse(name, format('expected flags of "i", "m" and "s", got %s', type(letters) == "string"
      and format("%q", values.scrub(letters)) or "a " .. type(letters)))
  end
  local bytes = not (is_utf8(text) and is_utf8(source))
  local key = letters .. (bytes and " bytes " or " ") .. source
  if cache[key] then return cache[key] end
  caller, pattern, at, in_bytes, flags = name, source, 1, bytes, {}
  set_flags(letters, "")
  local program = compile()
  cached = cached + program.size + ENTRY
  if cached > MAX_CACHED then
    cache, cached = {}, program.size + ENTRY
  end
  cache[key] = program
  return program
end

-- What a group holds, the whole match being 0; false where it took no part.
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

--- The first match of the pattern in the text, or nil:
--- `{ text = "2024-05", start = 4, stop = 10, groups = { "2024", "05" }, named = { year = "2024" } }`.
--- `start` and `stop` count bytes from 1, as `string.find` does; an empty match stops before it starts. `groups` has the
--- text of each group in the order of the opening parentheses, `false` for one that took no part; `named` has those
--- with a name. Among the matches that start first, it is the one that a backtracking engine would find.
--- `flags` is a string of "i" (letters A to Z match in both cases), "m" (`^` and `$` match at each line) and "s" (`.`
--- matches a newline). Takes time in proportion to the text, times the pattern at worst. A pattern that is not
--- understood raises `invalid_arguments`, with the place in the pattern.
function M.match(text, pattern, flags)
  local program = program_of("match", text, pattern, flags)
  local start, stop = search(program, text, 1)
  return start and result(program, text, start, stop)
end

--- All matches that do not overlap, from left to right, as a list of what `regex.match` returns; no more than `limit`
--- of them where it is given. Behind an empty match the search goes on one character further, and right behind a match
--- no empty one is counted: `a*` in "baac" is found at 1, 2 and 5.
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

-- The pieces of a replacement: strings, and numbers of groups.
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
      refuse("gsub", format("expected the number or name of a group behind `$`, or `$$` - at byte %d of the replacement",
        dollar))
    else
      local index = program.names[name] or find(name, "^%d+$") and tonumber(name)
      if not index or index > program.groups then
        refuse("gsub", format("the pattern has no group `%s`; `${1}x` sets a group off from text - at byte %d of the "
          .. "replacement", name, dollar))
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

-- What a script's function makes of a match; the match itself where it returns nothing.
local function called(f, found_match)
  local value = f(found_match)
  if value == nil or value == false then return found_match.text end
  if type(value) ~= "string" and type(value) ~= "number" then
    refuse("gsub", format("expected a string from the function, got a %s", type(value)))
  end
  return tostring(value)
end

--- The text with every match replaced, and how many there were. In a replacement that is a string, `$1` or `${1}` stands
--- for a group, `$name` or `${name}` for a named one, `$0` for the match and `$$` for a dollar; a group that took no part
--- is empty. A function gets what `regex.match` returns, and returns the new text, or nil to leave the match as it is;
--- it may call anything, functions of the host included.
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
