-- A global function of the script has the name of a helper.
function wait(seconds) return seconds end print(wait(5), replicate.get_account())
