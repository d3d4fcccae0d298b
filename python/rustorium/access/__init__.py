"""How a program reaches a net and shows who it is: the net's file and genesis, key files, TLS and bearer tokens.

Invariants: SYNC; clients, homes and nets use it, and it knows none of them.
"""
