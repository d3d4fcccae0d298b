"""Zero knowledge without a node: Groth16 keys and proofs, ceremonies, rollups, and the file of a wallet.

Invariants: SYNC; the extension decides what holds; knows no client, so that clients can use it.
"""
