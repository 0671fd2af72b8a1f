-- A global function with a helper's name.
function wait(seconds) return seconds end print(wait(5), replicate.get_account())
