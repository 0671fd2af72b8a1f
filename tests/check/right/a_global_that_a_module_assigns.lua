-- A global that a module assigns.
require("lib") print(shared())
