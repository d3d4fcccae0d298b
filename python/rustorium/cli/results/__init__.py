"""The shapes of what commands print with `-o json`: types, and the JSON schemas made from them.

Invariants: PURE; every command with `--output` has exactly one shape, which tests compare with what it prints.
"""
