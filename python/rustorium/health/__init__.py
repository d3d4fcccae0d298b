"""What is wrong with a node by what it measured, which of few harmless acts heals it, and whether a net is well.

Invariants: PURE; clocks, measurements and endings come in as arguments, findings and steps go out; nothing here acts.
"""
