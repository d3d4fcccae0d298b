"""What operators look at: metrics of many nodes, recordings, dashboards and alert rules, logs of many nodes, diagnoses.

Invariants: reads only; no node is trusted: all that comes from one is parsed strictly and within bounds.
"""
