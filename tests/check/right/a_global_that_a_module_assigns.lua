-- A module assigns a global that the script calls.
require("lib") print(shared())
