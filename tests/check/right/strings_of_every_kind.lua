-- String literals and comments in every form.
print("\z
               a\x41\65\u{48}\"'", '\'', [[a]b]], [==[
]]]==], "a\
b") --[==[ nowhere() ]] ]==] -- nowhere()
