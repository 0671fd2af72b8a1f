-- The type of a global.
if type(maybe) == "function" then maybe() end
