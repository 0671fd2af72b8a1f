-- A local variable is named file.
local file = { read = print } file.read(replicate.get_account()) print(file)
