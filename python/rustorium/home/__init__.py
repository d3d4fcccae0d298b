"""A node's home folder: its paths and format, its keys and tokens, its audit log, and upgrades between releases.

Invariants: SYNC; files are replaced atomically; files of a newer release are refused before anything changes.
"""
