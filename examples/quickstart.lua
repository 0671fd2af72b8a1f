-- Show the account, and run a model.
-- $ kosmo lua --emulate examples/quickstart.lua -- Alice

print("account: " .. replicate.get_account().username)

local output, prediction = run("replicate/hello-world", { text = args[1] or "Alice" })

print("status:  " .. prediction.status)
return output

--> account: emulator
--> status:  succeeded
--> hello Alice
