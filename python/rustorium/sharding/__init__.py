"""The model of several shards: terms, orders, channels and transactions, by the rules of docs/spec/shards.md.

Invariants: states are immutable values, and each rule stands in one function that cites it. The model counts no
bytes, no signatures and no time. It knows nothing of the product, which doesn't follow these rules yet.

To learn the protocol read `channels`, `groups`, `terms` and `atomic`, in this order. `network` says what may happen,
`happenings` and `restores` what else may come, `invariants` what must hold, and `explore` visits all states. `nodes`
has what rules ask of a single node. Scenarios, and the mends that can be switched off, are in tests/sharding.
"""
