local T = {}

local function refuses(f, expected)
  local ok, message = pcall(f)
  assert(not ok, "nothing was refused")
  assert(message:find(expected, 1, true), ("expected %q in %q"):format(expected, message))
end

local function same(found, expected)
  assert(found == expected, ("expected %s, got %s"):format(tostring(expected), tostring(found)))
end

-- Asserts the first match of a pattern: `text|group|group`, with `-` for a group that did not match.
local function finds(regex, text, pattern, expected, flags)
  local m = regex.match(text, pattern, flags)
  local parts = { m and m.text or "nothing" }
  for i = 1, m and #m.groups or 0 do
    parts[i + 1] = m.groups[i] or "-"
  end
  local found = table.concat(parts, "|")
  assert(found == expected, ("%s in %q: expected %q, got %q"):format(pattern, text, expected, found))
end

T["returns a match with its position, groups and named groups"] = function(use)
  local regex, json = use("regex"), use("json")
  local m = regex.match("on 2024-05 at", [[(?<year>\d{4})-(?P<month>\d\d)(x)?]])
  same(json.encode(m), '{"groups":["2024","05",false],"named":{"month":"05","year":"2024"},"start":4,"stop":10,'
    .. '"text":"2024-05"}')
  same(("on 2024-05 at"):sub(m.start, m.stop), m.text)
  same(regex.match("none", [[\d]]), nil)
  same(json.encode(regex.match("", "x*")), '{"groups":[],"named":{},"start":1,"stop":0,"text":""}')
end

T["chooses between alternatives as a backtracking engine does"] = function(use)
  local regex = use("regex")
  finds(regex, "abcd", "a|ab|abc", "a")
  finds(regex, "abcd", "(a|ab)(c|bcd)", "abcd|a|bcd")
  finds(regex, "aaa", "a*?", "")
  finds(regex, "<a><b>", "<(.+?)>", "<a>|a")
  finds(regex, "<a><b>", "<(.+)>", "<a><b>|a><b")
  finds(regex, "aaaa", "a{2,3}?", "aa")
  finds(regex, "aaaa", "a{2,3}", "aaa")
  finds(regex, "ab", "(a)|(b)", "a|a|-")
  finds(regex, "ab", "(?:(a)|(b))*", "ab|a|b")
  finds(regex, "aa", "(|a)*", "|")
  finds(regex, "aa", "(|a)+", "|")
end

T["supports escapes, classes and POSIX names"] = function(use)
  local regex = use("regex")
  finds(regex, "a\t1_", [[\w\t\d\w]], "a\t1_")
  finds(regex, "A\11", [[\x41\v]], "A\11")
  finds(regex, "é", [[\x{e9}]], "é")
  finds(regex, "a.b", [[a\.b]], "a.b")
  finds(regex, "x]-^", "[]^-]+", "]-^")
  finds(regex, "x]-^", "[^]^-]+", "x")
  finds(regex, "ab-9", [=[[[:alpha:]-]+[[:^alpha:]]]=], "ab-9")
  finds(regex, "a\0b", "a\0[^a]", "a\0b")
  finds(regex, "\0b", [[\x00b]], "\0b")
  finds(regex, "[\\]", [=[[\[\\\]]+]=], "[\\]")
  finds(regex, "a{,b{}", "a{,b{}", "a{,b{}")
end

T["matches the beginning and end of text, lines and words"] = function(use)
  local regex = use("regex")
  local text = "one two\nthree\n"
  finds(regex, text, "^t.*$", "nothing")
  finds(regex, text, "^t.*$", "three", "m")
  finds(regex, text, [[\At]], "nothing", "m")
  finds(regex, text, [[three$]], "nothing")
  finds(regex, text, [[three\n\z]], "three\n")
  finds(regex, text, [[\bt\w+]], "two")
  finds(regex, text, [[\Bo\b]], "o")
  finds(regex, "", [[\B]], "")
  same(#regex.match_all("a\nb\n", "^", "m"), 3)
  same(#regex.match_all("a\nb\n", "^"), 1)
end

T["accepts flags next to the pattern and inside it"] = function(use)
  local regex = use("regex")
  finds(regex, "HeLLo", "hello", "HeLLo", "i")
  finds(regex, "abAB", "a(?i)b|ab", "ab")
  finds(regex, "aB", "(?i:A)B", "aB")
  finds(regex, "ab", "(?i:A)B", "nothing")
  finds(regex, "aB", "A(?-i:b)", "nothing", "i")
  finds(regex, "K", "[^k]", "nothing", "i")
  finds(regex, "Z", "[x-z]", "Z", "i")
  finds(regex, "É", "é", "nothing", "i")
  finds(regex, "a\nb", "a.b", "nothing")
  finds(regex, "a\nb", "a.b", "a\nb", "s")
  finds(regex, "A\nb\n", "^a.b$", "A\nb", "ims")
  finds(regex, "ab", "(?:(?i)A)B", "nothing")
  finds(regex, "A\nb", "(?is-m)a.B", "A\nb")
  finds(regex, "xi", "(?<n>)i", "i|")
end

T["accepts the rest of RE2's syntax"] = function(use)
  local regex = use("regex")
  finds(regex, "xa.b*y", [[\Qa.b*\E]], "a.b*")
  finds(regex, "abbb", [[\Qab\E+]], "abbb")
  finds(regex, "|)(", [[^\Q|)(]], "|)(")
  finds(regex, "x)", [[(\Q)\E)$]], ")|)")
  finds(regex, "x", [[\Q\E]], "")
  finds(regex, "a\a", [[\a]], "\a")
  finds(regex, "aaa", "(?U)a+", "a")
  finds(regex, "aaa", "(?U)a+?", "aaa")
  finds(regex, "aaa", "(?U:a{1,3})a*", "aaa")
  finds(regex, "1-z", [=[[\d-z]+]=], "1-z")
  finds(regex, "A\n\0", [[\101\012\0]], "A\n\0")
  finds(regex, "x{,}", "x{,}", "x{,}")
end

T["counts characters if all is UTF-8, and bytes otherwise"] = function(use)
  local regex = use("regex")
  finds(regex, "é😀x", "^..x$", "é😀x")
  finds(regex, "é😀x", "[é-€]", "é")
  finds(regex, "é😀x", "[^a-z]+", "é😀")
  finds(regex, "\195\169", "[\195\160-\195\191]", "é")
  finds(regex, "€", "[a-é]", "nothing")
  finds(regex, "\255é", "^.{3}$", "\255é")
  finds(regex, "\255é", "é", "é")
  finds(regex, "\255é", [[\xff\xc3\xa9]], "\255é")
  finds(regex, "é", "\195", "\195")
  finds(regex, "\255é", [[\x{e9}|\x{100}]], "nothing")
  same(regex.match("é😀x", "x").start, 7)
end

T["iterates over matches"] = function(use)
  local regex = use("regex")
  local function all(text, pattern, limit)
    local found = {}
    for i, m in ipairs(regex.match_all(text, pattern, nil, limit)) do
      found[i] = m.start .. ":" .. m.text
    end
    return table.concat(found, " ")
  end
  same(all("baac", "a*"), "1: 2:aa 5:")
  same(all("é€", ""), "1: 3: 6:")
  same(all("a1b22", [[\d+]]), "2:1 4:22")
  same(all("a1b22c3", [[\d+]], 2), "2:1 4:22")
  same(all("aaa", "^a"), "1:a")
  same(all("abc", "x"), "")
  same(all("abc", ".", 0), "")
  same(use("json").encode(regex.match_all("abc", "x")), "[]")
end

T["replaces with a string"] = function(use)
  local regex = use("regex")
  local function gsub(...)
    local text, count = regex.gsub(...)
    return text .. " " .. count
  end
  same(gsub("hello world", [[(\w+) (?<second>\w+)]], "$second ${1}1 $$ $0"), "world hello1 $ hello world 1")
  same(gsub("abc", "", "-"), "-a-b-c- 4")
  same(gsub("é€", "", "-"), "-é-€- 3")
  same(gsub("baac", "a*", "x"), "xbxcx 3")
  same(gsub("ab", "(a)|(b)", "[$1$2]"), "[a][b] 2")
  same(gsub("aXbx", "x", "", "i"), "ab 2")
  same(gsub("abc", "x", "y"), "abc 0")
  same(gsub("", "^", "%1"), "%1 1")
end

T["replaces with the result of a function"] = function(use)
  local regex = use("regex")
  local text, count = regex.gsub("a1b22", [[(?<digits>\d+)]], function(m)
    if m.text == "1" then return nil end
    return regex.match(m.named.digits, ".").text + 1 -- a search inside another search
  end)
  same(text, "a1b3")
  same(count, 2)
end

T["lets a replacement function yield"] = function(use)
  local regex = use("regex")
  local function ask(m) return coroutine.yield(m.text) end
  local co = coroutine.create(function() return regex.gsub("a-b", "[a-z]", ask) end)
  local answers = {}
  local ok, seen = coroutine.resume(co)
  while coroutine.status(co) ~= "dead" do
    answers[#answers + 1] = seen
    regex.match("another", "n(o)")
    ok, seen = coroutine.resume(co, seen:upper())
  end
  assert(ok)
  same(table.concat(answers), "ab")
  same(seen, "A-B")
end

T["refuses unsupported patterns, with the position"] = function(use)
  local regex = use("regex")
  local refused = {
    { "é(a", "expected `)` for this `(`, got the end of the pattern - at character 2 of the pattern" },
    { "é)", "no `(` matches this `)` - at character 2 of the pattern" },
    { "a[b", "expected `]` for this `[`, got the end of the pattern - at character 2" },
    { "[]", "expected `]` for this `[`" },
    { "*a", "nothing to repeat before `*` - at character 1" },
    { "a|+", "nothing to repeat before `+` - at character 3" },
    { "^*", "nothing to repeat before this - at character 2" },
    { "(?i)*", "nothing to repeat before this - at character 5" },
    { "{1}", "nothing to repeat before `{1}` - at character 1" },
    { "a|{2,}", "nothing to repeat before `{2,}` - at character 3" },
    { [[\Qa]] .. [[\E\E]], [[unknown escape `\E`]] },
    { [[\C]], [[`\C` is not supported: `(?s:.)` is any character]] },
    { [[\1]], "back-references are not supported" },
    { "a**", "repeated repetition; put `(?:…)` around the first - at character 3" },
    { "a{2}{3}", "repeated repetition" },
    { "a{,3}", "expected a number before the comma, as in `{0,3}` - at character 2" },
    { "a{3,2}", "the maximum is below the minimum - at character 2" },
    { "a{1001}", "repeats more than 1000 times - at character 2" },
    { "a{99999999999999999999}", "repeats more than 1000 times" },
    { "a++", "possessive repetition is not supported" },
    { "((a{1000}){1000}){1000}", "the pattern is too large: more than 20000 instructions - at character 11" },
    { "(?:(?:(?:){1000}){1000}){1000}", "the pattern is too large: more than 20000 instructions - at character 18" },
    { ("a"):rep(30000), "the pattern is too large" },
    { ("(?:"):rep(300), "groups are nested more than 200 levels - at character 601" },
    { ("()"):rep(200), "more than 100 groups; `(?:…)` groups without capturing - at character 201" },
    { "[z-a]", "the range is out of order - at character 2" },
    { "[a-\\d]", "a range needs a character on each side - at character 2" },
    { "[[:vowel:]]", "unknown class `[:vowel:]` - at character 2" },
    { [[(a)\1]], "back-references are not supported: they can take exponential time - at character 4" },
    { [[(?<a>.)\k<a>]], "back-references are not supported" },
    { "(?P<a>.)(?P=a)", "back-references are not supported" },
    { "(?=a)", "lookaround is not supported - at character 1" },
    { "(?<!a)", "lookaround is not supported" },
    { "(?>a)", "atomic groups are not supported" },
    { "(?<a>.)(?<a>.)", "duplicate group name `a` - at character 8" },
    { "(?<1>.)", "expected `(?:`, `(?<name>` or flags, as in `(?i)`, for this `(?` - at character 1" },
    { "(?x)", "expected `(?:`, `(?<name>` or flags" },
    { [[\p{L}]], "Unicode properties are not supported" },
    { [[\Z]], [[`\Z` is not supported: `\z` is the end of the text]] },
    { [[a\y]], [[unknown escape `\y` - at character 2]] },
    { [[\é]], [[unknown escape `\é`]] },
    { [[\xg]], "expected two hexadecimal digits, or `{…}` of more" },
    { [[\x{110000}]], "expected a character up to 10FFFF" },
    { [[\x{ffffffffffffffffffffff}]], "expected a character up to 10FFFF" },
    { "a\\", "expected a character after the backslash, got the end of the pattern - at character 2" },
    { "\255é(", "expected `)` for this `(`, got the end of the pattern - at character 4" },
  }
  for _, case in ipairs(refused) do
    refuses(function() regex.match("text", case[1]) end, "regex.match: " .. case[2])
  end
end

T["refuses other mistakes in a call"] = function(use)
  local regex = use("regex")
  refuses(function() regex.match(nil, "a") end, "regex.match: expected a text, got nothing")
  refuses(function() regex.match("a", 1) end, "regex.match: expected a pattern after the text, got a number")
  refuses(function() regex.match("a", "a", "gi") end, 'regex.match: expected flags of "i", "m" and "s", got "gi"')
  refuses(function() regex.match_all("a", "a", {}) end, 'expected flags of "i", "m" and "s", got a table')
  refuses(function() regex.match_all("a", "a", "", "3") end, "match_all: expected a number as limit, got a string")
  refuses(function() regex.gsub("a", "a") end, "gsub: expected a string or a function as replacement, got nothing")
  refuses(function() regex.gsub("a", "a", "$1") end, "the pattern has no group `1`")
  refuses(function() regex.gsub("a", "(a)", "x$1y") end, "no group `1y`; write `${1}x` for a group before text")
  refuses(function() regex.gsub("a", "(a)", "$0x1") end, "no group `0x1`")
  refuses(function() regex.gsub("a", "a", "5 $") end, "expected a group number, a group name or another `$` after `$`")
  refuses(function() regex.gsub("a", "a", function() return {} end) end, "expected a string from the function, got a")
end

T["bounds the cache, and matches patterns that were removed from it"] = function(use)
  local regex = use("regex")
  for round = 1, 2 do
    for i = 1, 200 do
      finds(regex, ("a"):rep(1000) .. i .. "b", "^a{900}.{100}" .. i .. "(b)", ("a"):rep(1000) .. i .. "b|b")
    end
  end
  collectgarbage()
  assert(collectgarbage("count") < 30000, "too much is kept: " .. collectgarbage("count"))
end

T["takes time proportional to the length of the text, for every pattern"] = function(use)
  local regex = use("regex")
  local text = ("a"):rep(20000)
  local start = os.clock()
  finds(regex, text, "(a*)*b", "nothing")
  finds(regex, text .. "!", "(a+)+$", "nothing")
  finds(regex, text .. "!", "(a|aa)+$", "nothing")
  finds(regex, text, ".*.*.*x", "nothing")
  for _, pattern in ipairs({ "a{" .. ("1"):rep(300000), "(?" .. ("i"):rep(300000), [[\x{]] .. ("0"):rep(300000) }) do
    refuses(function() regex.match("", pattern) end, "regex.match: ")
  end
  finds(regex, text, "(?:a?){20}a{20}b", "nothing")
  assert(os.clock() - start < 20, "took " .. os.clock() - start .. " s") -- 1 s in PUC Lua
end

return T
