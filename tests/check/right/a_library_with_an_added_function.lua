-- The script adds a function to a standard library.
function string.trim(s) return s end print(("x"):trim())
