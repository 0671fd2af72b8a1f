"""Servers that other machines call, for Replicate's webhooks, triggers, and metrics for monitoring (extra ``serve``).

Nothing in this package runs a script. A request's size is checked before it is read, and it is stored before it is
answered.
"""
