"""The consensus core: Simplex over lanes by the rules of docs/spec/consensus.md, the one port to the bytes, and a
replica behind `on_input(now, input) -> effects`.

Invariants: PURE (no clock, randomness, files, threads or extension module). The only way in is an `Input` with the
time, the only way out a list of `Effect`. The same inputs at the same times give the same effects.
"""
