"""The one Python door: programs, the command line and every other front end run scripts and call functions here."""
