"""The rules: each is a function that takes the check and one source. A rule reports what certainly fails as an error,
and nothing if it is not sure.
"""
