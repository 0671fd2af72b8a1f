-- A library with more in it.
function string.trim(s) return s end print(("x"):trim())
