-- No host function is a Python function.
for _, f in ipairs({ print, require, sleep, integrations.replicate.get_account }) do
  assert(tostring(f):find('^function: '))
end
error('all plain')
