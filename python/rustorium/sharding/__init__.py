"""The model of several shards: transfers, terms and orders, by the rules of docs/spec/shards.md.

Invariants: states are immutable values, and each rule stands in one function that cites it. The model counts no
bytes, no signatures and no time. It knows nothing of the product.

To learn transfers read `channels`, `ledgers` and `transfers`, in this order. `crossings` says what may happen,
`disturbances` what else may come, and `conservation` what must hold. For splits and merges read `chains`, `terms`,
`network`, `happenings`, `restores` and `invariants`. `nodes` has what rules ask of a single node, and `explore` visits
all states. Scenarios, and the mends that can be switched off, are in tests/sharding.
"""
