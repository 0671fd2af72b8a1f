"""Reads scripts without running them and reports what is certain to fail. Knows the catalogue, the sandbox's names and
the model schemas it is given; sends nothing itself.
"""
