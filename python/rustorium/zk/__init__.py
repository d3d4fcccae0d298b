"""Zero knowledge without a node: Groth16 keys and proofs, ceremonies, rollups, and the file of a wallet.

Invariants: SYNC; the extension decides what is valid; this package knows no client, so that clients can use it.
"""
