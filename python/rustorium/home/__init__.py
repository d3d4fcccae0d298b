"""A node's home folder: its paths and format, its keys and tokens, its audit log, and the steps between releases.

Invariants: SYNC; a file is replaced whole or not at all; what a newer release wrote is refused before anything changes.
"""
