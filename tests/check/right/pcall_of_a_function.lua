-- Pcall of a function.
print(pcall(function() return nowhere.to.be() end))
