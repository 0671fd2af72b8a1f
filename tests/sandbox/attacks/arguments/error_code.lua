-- An error that a script makes up does not speak for the gate.
error({ message = 'fooled', code = 'success', status = 200 })
