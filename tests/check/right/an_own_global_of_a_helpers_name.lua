-- An own global of a helper's name.
function wait(seconds) return seconds end print(wait(5), replicate.get_account())
