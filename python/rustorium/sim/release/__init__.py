"""The release stages under the world's clock: whole nodes but for link, clock, disk and process.

Invariants: sim never imports trio; each failure is repeated by one printed line.
"""
