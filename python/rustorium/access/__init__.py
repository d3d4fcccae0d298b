"""A program's access to a net and its credentials: the net's file and genesis, key files, TLS and bearer tokens.

Invariants: SYNC; clients, homes and nets use this package, and it knows none of them.
"""
