"""The rules, each a function of the check and one source. A rule reports what is certain as an error, and leaves alone
what it cannot tell.
"""
