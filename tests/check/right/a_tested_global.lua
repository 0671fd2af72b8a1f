-- A tested global.
if luajit_only then luajit_only() end
