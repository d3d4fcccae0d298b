"""The admin plane: its socket and HTTP interface, callers, roles, limits and trail, and long-running orders.

Invariants: every call is in the audit log, by a line or a count; this package knows neither the loop nor recovery.
"""
