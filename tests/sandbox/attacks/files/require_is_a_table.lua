require({ 'module' })
