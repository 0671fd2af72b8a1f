-- No function of the host's is one of Python's.
for _, f in ipairs({ print, require, sleep, integrations.replicate.get_account }) do
  assert(tostring(f):find('^function: '))
end
error('all plain')
