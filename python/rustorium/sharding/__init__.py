"""The model of several shards: transfers, terms and orders, by the rules of docs/spec/shards.md.

Invariants: states are immutable values, and each rule stands in one function that cites it. The model counts no
bytes, no signatures and no time. It imports nothing of the product.

To learn transfers read `channels`, `ledgers` and `transfers`, in this order. `crossings` has the network and its steps,
`disturbances` its events, and `conservation` its invariants. For splits and merges read `chains`, `terms`, `network`,
`happenings`, `restores` and `invariants`. `nodes` has the rules for a single node, and `explore` visits all states.
Scenarios, and the rules that can be switched off, are in tests/sharding.
"""
