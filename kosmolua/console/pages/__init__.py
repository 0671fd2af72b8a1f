"""The pages of the console: each module creates the HTML of one page from values, without access to requests or a
database.
"""
