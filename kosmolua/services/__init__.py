"""What a script may ask of the host besides the API; every request goes through a `Session`."""
