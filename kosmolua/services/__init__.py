"""What a script may ask of the host besides the API. Every request it makes goes through `Session`."""
