"""A node's health: what is wrong with it by what it measured, and what heals it.

Invariants: PURE; clocks, measurements and endings come in as arguments, findings and steps go out; nothing here acts.
"""
