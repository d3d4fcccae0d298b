"""What is on one node's word is said to be, and nothing else, by a real net."""

import pytest
from cli_runner import Cli

from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes
NEWEST = "That no newer block is final is on the node's word."
ALONE = "One node alone was asked, so that this is the newest state is on its word: name another --node."


def notes(cli: Cli, *arguments: object) -> list[str]:
    done = cli(*arguments)
    assert done.code == 0, done.err
    return [line for line in done.err.splitlines() if line in (NEWEST, ALONE)]


def test_the_newest_block_and_state_are_on_the_word_of_who_was_asked(cli: Cli, devnet: Devnet) -> None:
    with devnet.client() as client:
        client.put(b"k", b"v", wait="certified")
    account = devnet.net.accounts[0].address
    alone = ("--node", devnet.net.nodes[0].http, "--genesis", devnet.net.genesis)
    fresh = ("query", "--account", account, "--at", "fresh")
    assert notes(cli, "block", "show", "--net", devnet.path) == [NEWEST]
    assert notes(cli, "block", "show", "1", "--net", devnet.path) == []
    assert notes(cli, "block", "show", "--no-verify", "--net", devnet.path) == []
    assert notes(cli, *fresh, "--net", devnet.path) == []
    assert notes(cli, *fresh, *alone) == [ALONE]
    assert notes(cli, "query", "--account", account, *alone) == []


def test_the_only_validator_of_a_chain_is_its_quorum(cli: Cli, devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=1, accounts=1)
    with net.client() as client:
        client.put(b"k", b"v", wait="certified")
    assert notes(cli, "query", "--account", net.net.accounts[0].address, "--at", "fresh", "--net", net.path) == []
