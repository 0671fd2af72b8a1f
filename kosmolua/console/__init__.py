"""The console of ``kosmo serve``: pages about the runs, approvals, schedules, budgets and workers of a database.

Every value is escaped by `kosmolua.page.markup`. SQL is in `kosmolua.worker`.
"""
