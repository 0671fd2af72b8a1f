local name
print("saved as " .. name)
