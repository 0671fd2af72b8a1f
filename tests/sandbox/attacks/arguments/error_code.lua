-- An error that a script makes up does not count as an error from the gate.
error({ message = 'fooled', code = 'success', status = 200 })
