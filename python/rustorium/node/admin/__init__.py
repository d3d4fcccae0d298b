"""The admin plane: its socket and HTTP face, callers, roles, limits and trail, and the orders that take long.

Invariants: every call is in the audit log, by a line or a count; knows neither the loop nor recovery.
"""
