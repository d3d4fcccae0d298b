"""Views for operators: metrics of many nodes and recordings of them, where the time goes (`analysis/`), a net in a
terminal (`top/`), logs of many nodes in one order (`nodelogs/`), boards and alert rules, diagnoses.

Invariants: this package only reads. No node is trusted: everything from one is parsed strictly and within bounds.
"""
