"""The pages of the console: each module makes the HTML of one page from values, without requests or a database."""
