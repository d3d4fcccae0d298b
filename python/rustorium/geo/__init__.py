"""Where nodes stand, and what that costs: round trips between regions, the least finality that they allow, and plans of
committees.

Invariants: PURE; times are whole microseconds, so that equal inputs give equal answers on every machine.
"""
