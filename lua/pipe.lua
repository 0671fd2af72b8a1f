-- The port of a state with its own process: frames over two file descriptors. A frame is a big-endian length of four
-- bytes, then MessagePack. It uses the FFI instead of Python, so that running out of memory here is an ordinary Lua
-- error; inside a Python callback the call would never return.

local ffi = require("ffi")

ffi.cdef([[
  ptrdiff_t read(int descriptor, void *to, size_t count);
  ptrdiff_t write(int descriptor, const void *from, size_t count);
]])

local C, floor, char = ffi.C, math.floor, string.char
local EINTR, CAPACITY = 4, 65536

local M = {}

-- Read at most `count` bytes. Without a host the process exits.
local function read_some(descriptor, to, count)
  while true do
    local got = tonumber(C.read(descriptor, to, count))
    if got > 0 then return got end
    if got == 0 or ffi.errno() ~= EINTR then os.exit(0) end
  end
end

local function write_all(descriptor, text)
  local from, count = ffi.cast("const char *", text), #text
  while count > 0 do
    local put = tonumber(C.write(descriptor, from, count))
    if put >= 0 then
      from, count = from + put, count - put
    elseif ffi.errno() ~= EINTR then
      os.exit(0)
    end
  end
end

local function length_of(count)
  return char(floor(count / 16777216), floor(count / 65536) % 256, floor(count / 256) % 256, count % 256)
end

-- A function that returns the next frame from a descriptor.
local function reader(input)
  local buffer = ffi.new("uint8_t[?]", CAPACITY)
  local from, to = 0, 0 -- the part of the buffer that was read but not yet taken

  -- Read until the buffer holds at least `count` bytes after `from`. Most frames take one read.
  local function fill(count)
    if from == to then
      from, to = 0, 0
    elseif from + count > CAPACITY then
      ffi.copy(buffer, ffi.string(buffer + from, to - from), to - from) -- through a string, because the two may overlap
      from, to = 0, to - from
    end
    while to - from < count do
      to = to + read_some(input, buffer + to, CAPACITY - to)
    end
  end

  local function take(count)
    from = from + count
    return ffi.string(buffer + from - count, count)
  end

  -- A frame larger than the buffer: copy the buffered part and read the rest in place.
  local function take_large(count)
    local whole = ffi.new("uint8_t[?]", count)
    local got = to - from
    ffi.copy(whole, buffer + from, got)
    from, to = 0, 0
    while got < count do
      got = got + read_some(input, whole + got, count - got)
    end
    return ffi.string(whole, count)
  end

  return function()
    fill(4)
    local count = ((buffer[from] * 256 + buffer[from + 1]) * 256 + buffer[from + 2]) * 256 + buffer[from + 3]
    from = from + 4
    if count > CAPACITY then return take_large(count) end
    fill(count)
    return take(count)
  end
end

--- The port over two descriptors: `submit(frame)` sends, `wait()` blocks until a frame arrives.
function M.open(input, output)
  local writing, last = false, nil
  local port = { wait = reader(input) }

  function port.submit(frame)
    local text = length_of(#frame) .. frame
    writing = true
    write_all(output, text)
    writing = false
    if last then last() end
  end

  --- Send a last frame and exit: at once, or after the frame that is being written.
  function port.leave_with(frame)
    local function leave()
      last = nil
      port.submit(frame)
      os.exit(0)
    end
    if writing then
      last = leave
    else
      leave()
    end
  end

  return port
end

return M
