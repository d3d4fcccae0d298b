"""Healing of a node from outside: `recover auto` and `recover manual`, stores moved aside, and the record of acts.

Invariants: no act touches the safety journal, a key or the committee; a store that was moved aside stays until its node
is well.
"""
