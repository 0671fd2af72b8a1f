"""The Python API: programs, the command line and every other interface run scripts and call functions here."""
