"""Offers the catalog's functions and Lua as tools of the Model Context Protocol.

Standard input and output are served without the SDK, whose import takes most of a second.
"""
