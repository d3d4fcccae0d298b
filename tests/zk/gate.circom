// A gate for one: who knows `secret` proves it without showing it, once for each `scope`, and for `bound` alone.
//
// Public signals, in this order: commitment, nullifier, scope, bound.
pragma circom 2.1.0;

include "circomlib/circuits/poseidon.circom";

template Gate() {
    signal input secret;
    signal input scope;
    signal input bound;
    signal output commitment;
    signal output nullifier;

    commitment <== Poseidon(1)([secret]);
    nullifier <== Poseidon(2)([secret, scope]);
    // A signal in no constraint would be bound to nothing.
    signal square <== bound * bound;
}

component main {public [scope, bound]} = Gate();
