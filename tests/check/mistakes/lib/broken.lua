local first = "a barn"
if first = "" then return {} end
return { first = first }
