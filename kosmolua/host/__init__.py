"""The Python API, through which programs, the command line and all other interfaces run scripts and call functions."""
