-- pcall catches the error of a function expression.
print(pcall(function() return nowhere.to.be() end))
