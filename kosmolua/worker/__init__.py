"""Workers on many machines that share runs, journals, budgets and request rates in one PostgreSQL database (extra
``worker``).
"""
