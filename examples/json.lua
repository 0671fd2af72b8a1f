-- Keep everything that JSON has: nulls in lists, empty lists, large integers.
-- $ kosmo lua --emulate examples/json.lua

local task = json.decode [[{ "id": 9007199254740993, "tags": [], "scores": [0.5, null, 1], "note": null }]]

print(task.id, type(task.id))
print(#task.scores, task.scores[2] == json.null, task.note)
print(json.encode(task))

-- An empty table is an object unless it is marked as a list.
print(json.encode({}), json.encode(json.array {}), json.encode(json.object { [7] = "seven" }))

--> 9007199254740993	string
--> 3	true	nil
--> {"id":"9007199254740993","scores":[0.5,null,1],"tags":[]}
--> {}	[]	{"7":"seven"}
