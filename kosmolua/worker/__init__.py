"""Many machines: workers that share runs, journals, budgets and rates in one PostgreSQL (extra ``worker``)."""
