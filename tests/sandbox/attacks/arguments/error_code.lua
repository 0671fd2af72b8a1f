-- An error that a script invents does not count as one of the gate.
error({ message = 'fooled', code = 'success', status = 200 })
