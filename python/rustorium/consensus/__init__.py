"""The consensus core: Simplex over lanes, as numbered in docs/spec/consensus.md (R1..R25).

Invariants: PURE (no clock, randomness, files, threads or extension module); the only way in is an `Input` with the
time, the only way out a list of `Effect`; the same inputs at the same times give the same effects.
"""
