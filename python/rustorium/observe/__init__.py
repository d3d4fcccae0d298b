"""What operators look at: metrics of many nodes and recordings of them, where the time goes (`analysis/`), a net in a
terminal (`top/`), logs of many nodes in one order (`nodelogs/`), boards and alert rules, diagnoses.

Invariants: reads only; no node is trusted: all that comes from one is parsed strictly and within bounds.
"""
