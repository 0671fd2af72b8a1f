"""Servers that other machines call: webhooks of Replicate, triggers, and figures for monitoring (extra ``serve``).

Nothing here runs a script. A request is bounded before it is read, and stored before it is answered.
"""
