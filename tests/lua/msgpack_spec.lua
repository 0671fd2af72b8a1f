local T = {}

local function round_trip(use, value)
  local msgpack = use("msgpack")
  return msgpack.decode(msgpack.encode(value))
end

T["returns integers of every size unchanged"] = function(use)
  for _, number in ipairs({ 0, 127, 128, 255, 256, 65535, 65536, 2 ^ 32 - 1, 2 ^ 32, 2 ^ 53, -1, -32, -33, -128, -129,
    -32768, -32769, -2 ^ 31, -2 ^ 31 - 1, -2 ^ 53 }) do
    local back = round_trip(use, number)
    assert(back == number, ("%.0f came back as %s"):format(number, tostring(back)))
  end
end

T["returns doubles bit by bit"] = function(use)
  for _, number in ipairs({ 0.1, -1 / 3, 1e308, 5e-324, 2 ^ 60, -2 ^ 70 }) do
    assert(round_trip(use, number) == number)
  end
end

T["returns strings, lists and maps of every length"] = function(use)
  for _, length in ipairs({ 0, 15, 16, 31, 32, 255, 256, 65535, 65536 }) do
    assert(#round_trip(use, ("x"):rep(length)) == length)
    local list, map = {}, {}
    for i = 1, length do
      list[i], map["k" .. i] = i, i
    end
    local back = round_trip(use, { list = list, map = map })
    for i = 1, length do
      assert(back.list[i] == i and back.map["k" .. i] == i)
    end
  end
end

T["reads 64-bit integers that a double cannot represent as decimal text"] = function(use)
  local decode = use("msgpack").decode
  assert(decode("\207\0\32\0\0\0\0\0\1") == "9007199254740993")
  assert(decode("\207\255\255\255\255\255\255\255\255") == "18446744073709551615")
  assert(decode("\211\128\0\0\0\0\0\0\0") == "-9223372036854775808")
  assert(decode("\211\255\223\255\255\255\255\255\255") == "-9007199254740993")
  assert(decode("\211\255\255\255\255\255\255\255\255") == -1)
end

T["marks an empty list, and omits an absent field"] = function(use)
  local msgpack, values = use("msgpack"), use("values")
  assert(msgpack.encode(msgpack.decode("\144")) == "\144")
  assert(msgpack.encode({}) == "\128")
  local map = msgpack.decode("\130\161a\192\161b\1")
  assert(map.a == nil and map.b == 1)
  assert(msgpack.decode("\146\192\1")[1] == values.null)
end

T["never runs a metamethod of a value that it writes"] = function(use)
  local msgpack = use("msgpack")
  local trap = function() error("a metamethod ran") end
  local t = setmetatable({ a = 1 }, { __index = trap, __len = trap, __pairs = trap, __newindex = trap, __call = trap })
  assert(msgpack.decode(msgpack.encode(t)).a == 1)
end

T["refuses bytes for text, except in fields of the first level on request"] = function(use)
  local msgpack = use("msgpack")
  assert(msgpack.encode({ content = "\255" }, true) == "\129\167content\196\1\255")
  local ok, refusal = pcall(msgpack.encode, { input = { text = "\255" } }, true)
  assert(not ok and msgpack.is_refusal(refusal))
  assert(refusal.path == "input.text" and refusal.reason == "string is not UTF-8")
end

T["names the place of a cycle, and of too deep nesting"] = function(use)
  local msgpack = use("msgpack")
  local loop = { a = { b = {} } }
  loop.a.b.c = loop.a
  local _, refusal = pcall(msgpack.encode, loop)
  assert(refusal.reason == "table contains itself" and refusal.path == "a.b.c", refusal.path)
  local deep = {}
  for _ = 1, 250 do
    deep = { deep }
  end
  _, refusal = pcall(msgpack.encode, deep)
  assert(refusal.reason == "more than 200 levels")
end

T["reads signed integers of every size, including positive ones"] = function(use)
  local msgpack = use("msgpack")
  for frame, value in pairs({ ["\208\127"] = 127, ["\208\128"] = -128, ["\209\127\255"] = 32767, ["\209\128\0"] = -32768,
    ["\210\127\255\255\255"] = 2147483647, ["\210\128\0\0\0"] = -2147483648, ["\211\0\0\0\0\0\0\0\7"] = 7 }) do
    assert(msgpack.decode(frame) == value, value)
  end
end

T["writes number keys exactly, and refuses duplicates"] = function(use)
  local values, msgpack = use("values"), use("msgpack")
  local back = msgpack.decode(msgpack.encode(values.object({ [1732968000123456] = "x", [0.5] = "h" })))
  assert(back["1732968000123456"] == "x" and back["0.5"] == "h")
  local _, refusal = pcall(msgpack.encode, values.object({ [7] = 1, ["7"] = 2 }))
  assert(refusal.reason == "a number key and a string key give the same JSON name", refusal.reason)
end

T["accepts the same table twice, which is not a cycle"] = function(use)
  local shared = { 1 }
  local back = round_trip(use, { shared, shared })
  assert(back[1][1] == 1 and back[2][1] == 1)
end

T["writes integers beyond 2^53 exactly, whether they are numbers or strings of digits"] = function(use)
  local values, msgpack, json = use("values"), use("msgpack"), use("json")
  local source = jit and "return 9007199254740993LL, -9007199254740993LL, 18446744073709551615ULL, 5LL"
    or "return 9007199254740993, -9007199254740993, 9223372036854775807, 5"
  local large, negative, most, small = load(source)()
  assert(msgpack.decode(msgpack.encode(large)) == "9007199254740993")
  assert(msgpack.decode(msgpack.encode(negative)) == "-9007199254740993")
  assert(msgpack.decode(msgpack.encode(most)) == (jit and "18446744073709551615" or "9223372036854775807"))
  assert(msgpack.decode(msgpack.encode(small)) == 5)
  assert(msgpack.encode({ values.integer("123") }) == "\145\201\0\0\0\3\002123")
  if jit then
    assert(json.encode({ large, negative, most }) == "[9007199254740993,-9007199254740993,18446744073709551615]")
  end
end

T["refuses cdata that is not an integer"] = function(use)
  if not jit then return end
  local msgpack, json = use("msgpack"), use("json")
  local complex = load("return 5i")()
  local _, refusal = pcall(msgpack.encode, complex)
  assert(refusal.reason == "a cdata cannot leave the script", refusal.reason)
  assert(not pcall(json.encode, complex))
end

return T
