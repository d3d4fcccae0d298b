"""`config.toml` is read strictly, and each value knows where it came from."""

import pytest

from rustorium.config import Config, KeysSection, NodeSection, P2pSection, ShaperSection, load, render
from rustorium.errors import ConfigError
from rustorium.node.loop.launch import _own_names


def test_defaults() -> None:
    loaded = load("")
    assert loaded.config == Config()
    assert {origin for _, _, origin in loaded.rows()} == {"default"}


def test_flags_beat_environment_beats_file() -> None:
    text = '[http]\nlisten = "1.2.3.4:1"\n[p2p]\nlisten = "1.2.3.4:2"\n[metrics]\nlisten = "1.2.3.4:3"\n'
    environment = {"RUSTORIUM_HTTP__LISTEN": "5.6.7.8:1", "RUSTORIUM_P2P__LISTEN": "5.6.7.8:2", "RUSTORIUM_HOME": "/x"}
    loaded = load(text, environment, {"p2p.listen": "9.9.9.9:2", "http.listen": None})
    config = loaded.config
    assert (config.p2p.listen, config.http.listen, config.metrics.listen) == ("9.9.9.9:2", "5.6.7.8:1", "1.2.3.4:3")
    assert loaded.origins["p2p.listen"] == "flag"
    assert loaded.origins["http.listen"] == "environment RUSTORIUM_HTTP__LISTEN"
    assert loaded.origins["metrics.listen"] == "config.toml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[storage]\ncache_byte = 1", "there is no key `cache_byte` in [storage] (did you mean `cache_bytes`?)"),
        ("[storag]\ncache_bytes = 1", "there is no section [storag] (did you mean `storage`?)"),
        ("[http]\ndurability = 'os'", "did you mean `storage.durability`?"),
        ("name = 'x'", "`name` stands outside a section"),
        ("[storage]\ndurability = 'maybe'", "storage.durability is wrong"),
        ("[storage]\ncache_bytes = 'many'", "storage.cache_bytes is wrong: expected `int`, got `str`"),
        ("[storage]\ncache_bytes = 1", "cache_bytes must be at least 1048576"),
        ("[storage]\nkeep = 999", 'keep must be "archive" or a number of heights from 1000'),
        ("[storage]\nkeep = 'all'", 'keep must be "archive" or a number of heights from 1000'),
        ("[recovery]\nkeep_when_low = 999", "keep_when_low must be 0 or a number of heights from 1000"),
        (
            "[storage]\nkeep = 2000\n[recovery]\nkeep_when_low = 2000",
            "is not below storage.keep, which is 2000: lower it",
        ),
        ("[storage]\nproofs_kept = 0", "needs proofs_kept from 1 to 1000"),
        ("[consensus]\ndelta_floor_ms = 0", "needs 0 < delta_floor_ms"),
        ("[consensus]\ndelta_flor_ms = 1", "did you mean `delta_floor_ms`?"),
        ("[http]\nlisten = '8080'", "http.listen is wrong: '8080' is not host:port"),
        ("[http]\nlisten = 'x:99999'", "is not host:port"),
        ("[p2p.peers]\nnode-1 = 'nowhere'", 'p2p.peers."node-1" is wrong'),
        ("[p2p]\npeers = ['a:1']", 'got `array`; write a table [p2p.peers] with a line name = "host:port"'),
        ("[gateway]\nhosts = ['https://ledger.example']", "without scheme and port"),
        ("[gateway]\nhosts = ['ledger.example:443']", "without scheme and port"),
        ("[gateway]\nhosts = ['']", "without scheme and port"),
        (f"[gateway]\nhosts = {['a'] * 65}", "give 64 at most"),
        ("[gateway]\ntls_key = 'k'", "needs tls_certificate and tls_key, or neither"),
        ("[gateway]\nclient_authorities = 'c'", "and no TLS: give tls_certificate and tls_key"),
        ("[p2p]\nfollowers = 'anybody'", "p2p.followers is wrong"),
        ("[p2p]\nfollowers = ['abc']", "followers has 'abc': give node keys of 64 hex digits"),
        ("[p2p]\nfollowers = 'any'\n[gateway]\nread = 'token'", "name the followers' node keys, or leave them out"),
        ("[http", "is not TOML"),
    ],
)
def test_faults_are_named(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert sentence in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("RUSTORIUM_STORAGE__CACHE_BYTE", "1", "did you mean `cache_bytes`?"),
        ("RUSTORIUM_STORAGE__KEEP", "everything", 'keep must be "archive" or a number of heights'),
        ("RUSTORIUM_STORAGE__CACHE_BYTES", "many", "RUSTORIUM_STORAGE__CACHE_BYTES must be an integer"),
        ("RUSTORIUM_P2P__PEERS", "{", "RUSTORIUM_P2P__PEERS must be JSON"),
    ],
)
def test_faults_of_the_environment(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence.replace("?", r"\?").replace("`", "`").replace(")", r"\)")):
        load("", {name: value})


def test_environment_lists_are_json() -> None:
    assert load("", {"RUSTORIUM_P2P__PEERS": '{"node-1": "1.2.3.4:5"}'}).config.p2p.peers == {"node-1": "1.2.3.4:5"}


def test_a_rendered_configuration_is_read_back() -> None:
    config = Config(
        node=NodeSection('quo"te'),
        p2p=P2pSection("0.0.0.0:1", {"node-1": "[::1]:2", "node é": "h:3"}),
        keys=KeysSection("/a/pass phrase"),
        shaper=ShaperSection("m.json", ["a", "b"], seed=7),
    )
    assert load(render(config)).config == config
    assert load(render(Config())).config == Config()


def test_parameters_of_the_chain_are_no_configuration_keys() -> None:
    with pytest.raises(ConfigError, match="there is no key `state_roots`"):
        load("[consensus]\nstate_roots = true\n")
    assert not any("state_roots" in key for key, _, _ in load(None).rows())


def test_kept_history_is_all_or_a_number_of_heights() -> None:
    assert load("").config.storage.keep == "archive"
    assert load("[storage]\nkeep = 5000").config.storage.keep == 5000
    assert load("", {"RUSTORIUM_STORAGE__KEEP": "2000"}).config.storage.keep == 2000
    assert load("[storage]\nkeep = 5000", {"RUSTORIUM_STORAGE__KEEP": "archive"}).config.storage.keep == "archive"


def test_a_gateway_has_names() -> None:
    assert load("").config.gateway.hosts == []
    assert load('[gateway]\nhosts = ["Ledger-1.bank.example", "node", "*"]').config.gateway.hosts[1:] == ["node", "*"]
    named = load("", {"RUSTORIUM_GATEWAY__HOSTS": '["a.example"]'}).config
    assert named.gateway.hosts == ["a.example"]
    assert "v1.example" in _own_names(load("[http]\nlisten = 'v1.example:26651'").config)
    assert "127.0.0.1" not in _own_names(load("").config)


def test_a_signer_has_a_socket_and_a_key() -> None:
    key = "0a" * 32
    named = load(f'[signer]\nurl = "unix:/run/s.sock"\nkey = "{key}"\n').config.signer
    assert (named.url, named.key) == ("unix:/run/s.sock", key)
    assert load("").config.signer.url == ""
    for text in ('url = "unix:/run/s.sock"', f'url = "/run/s.sock"\nkey = "{key}"', f'url = "unix:/"\nkey = "{key}"'):
        with pytest.raises(ConfigError):
            load(f"[signer]\n{text}\n")
    with pytest.raises(ConfigError, match="`signer run` takes a token's key"):
        load(f'[signer]\nurl = "pkcs11:token=a;object=b"\nkey = "{key}"\n')


def test_followers_are_keys_or_any() -> None:
    key = "AB" * 32
    assert (load("").config.p2p.followers_named, load("").config.p2p.strangers_max) == ([], 0)
    named = load(f'[p2p]\nfollowers = ["{key}"]').config
    assert (named.p2p.followers_named, named.p2p.strangers_max) == ([key.lower()], 0)
    assert load(render(named)).config == named
    opened = load('[p2p]\nfollowers = "any"\nfollowers_max = 3').config
    assert (opened.p2p.followers_named, opened.p2p.strangers_max) == ([], 3)
    by_environment = load(None, {"RUSTORIUM_P2P__FOLLOWERS": f'["{key}"]'}).config
    assert by_environment.p2p.followers_named == [key.lower()]
    assert load(None, {"RUSTORIUM_P2P__FOLLOWERS": "any"}).config.p2p.strangers_max == 16
