"""Diagnosis of a node by its measurements, the choice of a harmless act that heals it, and the health of a net.

Invariants: PURE; clocks, measurements and endings come in as arguments, findings and steps go out; nothing here acts.
"""
