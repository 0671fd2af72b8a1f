-- A global is called only if it exists.
if luajit_only then luajit_only() end
