# `just` lists the recipes. Each makes what it needs: the virtual environment, the locked tools, the one RocksDB archive.

set shell := ["bash", "-euo", "pipefail", "-c"]

# The tools that the recipes call (maturin first) are those of the virtual environment, activated or not.
export PATH := justfile_directory() / ".venv/bin:" + env("PATH")

python := ".venv/bin/python"

# Tests start thousands of Python processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE
# Whoever pipes a command's output has no such variable: tests see what they see.
unexport PYTHONUNBUFFERED

# Exports the environment of every cargo call; stops when it can't be made.
with := 'exports="$(' + python + ' tools/build/backend.py)"; eval "$exports";'

# The same cases in each run: `PROPTEST_RNG_SEED=7 just test` draws others.
seed := "PROPTEST_RNG_SEED=" + env("PROPTEST_RNG_SEED", "1")

# Prints the OpenAPI document. What is built for it alone runs once, so it isn't optimized.
document := "cargo run --quiet --release --locked -p rustorium-gateway --features openapi --bin openapi " + \
  "--config profile.release.package.rustorium-api.opt-level=0 " + \
  "--config profile.release.package.rustorium-gateway.opt-level=0"

[private]
default:
    @{{ just_executable() }} --list --unsorted

[private]
venv:
    #!/usr/bin/env bash
    set -euo pipefail
    python3 -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "rustorium needs Python 3.11 or newer")'
    [ -x {{ python }} ] || python3 -m venv .venv
    cmp -s requirements/test.txt .venv/locked.txt && exit
    {{ python }} -m pip install -q --disable-pip-version-check --require-hashes -r requirements/test.txt
    cp requirements/test.txt .venv/locked.txt

# install this checkout into .venv, editable, with its Rust extension
build: venv
    @{{ with }} {{ python }} -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .

# format Rust and Python
fmt: venv
    cargo fmt --all
    {{ python }} -m ruff format
    {{ python }} -m ruff check --fix-only --quiet

# formatting, clippy, ruff, mypy, the extension's stubs, the layer check, the pages' check, the reference pages
lint: build
    #!/usr/bin/env bash
    set -euo pipefail
    {{ with }}
    # Clippy runs beside the other checks, which take one core. The two variables are maturin's, so that it shares the
    # wheel's build of pyo3.
    config="$(compgen -G "$CARGO_TARGET_DIR/maturin/pyo3-config-*.txt" | head -n 1)"
    PYO3_BUILD_EXTENSION_MODULE=1 PYO3_CONFIG_FILE="$config" \
      bash -c 'cargo clippy --quiet --release --locked --workspace --all-targets -- -D warnings &&
        cargo clippy --quiet --release --locked -p rustorium-native --no-default-features -- -D warnings &&
        cargo clippy --quiet --release --locked -p rustorium-gateway --features openapi -- -D warnings &&
        { {{ document }} | cmp - crates/gateway/openapi.json || { echo "the code describes another HTTP API than crates/gateway/openapi.json: run just openapi" >&2; exit 1; }; }' & clippy=$!
    trap 'kill $clippy 2> /dev/null || true' EXIT
    PS4="" && set -x
    cargo fmt --all --check
    {{ python }} -m ruff format --check
    {{ python }} -m ruff check
    {{ python }} tools/layers.py
    {{ python }} tools/documents.py
    {{ python }} tools/formats.py
    {{ python }} tools/reference.py --check
    {{ python }} tools/wasm.py
    {{ python }} -m mypy
    # the client is built for Windows, too, where much of `os` and `socket` is missing
    {{ python }} -m mypy --platform win32 --cache-dir .mypy_cache/win32 --follow-imports silent \
      -p rustorium.access -p rustorium.cli -p rustorium.client -p rustorium.health -p rustorium.zk
    {{ python }} -m mypy.stubtest rustorium._native
    # `just fuzz` compiles a workspace of its own, which nothing else here does
    cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/guided/Cargo.toml > /dev/null
    { set +x; } 2> /dev/null
    wait $clippy

# wheels of node and client for Linux from glibc 2.28 on, to target/wheels, checked and tried; `just wheels --processor aarch64`
wheels *ARGUMENTS: venv
    #!/usr/bin/env bash
    set -euo pipefail
    rm -rf target/wheels/node target/wheels/client # so that what is tried below was made here
    {{ python }} tools/wheels.py {{ ARGUMENTS }}
    here="target/wheels/PART/$(uname -m)"
    node="$(compgen -G "${here/PART/node}/*.whl" || true)" client="$(compgen -G "${here/PART/client}/*.whl" || true)"
    [ -z "$node" ] || {{ python }} tests/wheel_start.py --at-most 30 "$node" ${client:+--client "$client"}

# every test of Rust and Python that needs nothing but Python, Rust and C++
test: build
    #!/usr/bin/env bash
    set -euo pipefail
    {{ with }}
    rust=(--release --locked --workspace --exclude rustorium-native)
    # of the examples those that tests start; lint checks the others
    programs=(copies flood liar spoil_state vote_path wrong_state)
    cargo build --quiet "${rust[@]}" "${programs[@]/#/--example=}"
    for name in "${programs[@]}"; do export "${name^^}=$CARGO_TARGET_DIR/release/examples/$name"; done
    # Tests of whole nets mostly wait, so Rust's tests are compiled meanwhile.
    RUSTC_WRAPPER="$PWD/tools/build/rustc-of-tests" nice cargo test --quiet --no-run "${rust[@]}" --tests & compiler=$!
    trap 'kill $compiler 2> /dev/null || true' EXIT
    {{ python }} -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "nodes"
    wait $compiler
    {{ seed }} cargo test --no-fail-fast "${rust[@]}" --tests
    {{ python }} -m pytest -n 2 --dist worksteal -m "not outside and not nodes and not alone"
    {{ python }} -m pytest -m "alone"

# a command from Debian's package of that name, where the machine lacks it (needs root and apt)
[private]
debian COMMAND PACKAGE:
    @command -v {{ COMMAND }} > /dev/null || { apt-get update -qq && apt-get install -qq -y --no-install-recommends {{ PACKAGE }}; }

# tests that need other tools: installs them, then runs them
test-outside: build (debian "strace" "strace") (debian "go" "golang-go") (debian "promtool" "prometheus") (debian "systemd-analyze" "systemd") (debian "npm" "npm") (debian "chromium" "chromium") (debian "softhsm2-util" "softhsm2")
    #!/usr/bin/env bash
    set -euo pipefail
    deny=0.20.2 tools="${RUSTORIUM_BUILD_CACHE:-$HOME/.cache/rustorium-build}/cargo-deny"
    [ -x "$tools-$deny/bin/cargo-deny" ] || env -u CARGO_TARGET_DIR cargo install --locked --quiet --root "$tools-$deny" "cargo-deny@$deny"
    schemathesis=4.32.5 openapi="${RUSTORIUM_BUILD_CACHE:-$HOME/.cache/rustorium-build}/schemathesis"
    [ -x "$openapi-$schemathesis/bin/st" ] || { python3 -m venv "$openapi-$schemathesis" && "$openapi-$schemathesis/bin/pip" install -q --disable-pip-version-check "schemathesis==$schemathesis"; }
    RUSTORIUM_SNARKJS="$({{ just_executable() }} snarkjs)"; export RUSTORIUM_SNARKJS
    playwright=1.65.2 browser="${RUSTORIUM_BUILD_CACHE:-$HOME/.cache/rustorium-build}/playwright"
    [ -d "$browser-$playwright/playwright" ] || {{ python }} -m pip install -q --disable-pip-version-check --target "$browser-$playwright" "playwright==$playwright"
    versitygw=1.8.0 store="${RUSTORIUM_BUILD_CACHE:-$HOME/.cache/rustorium-build}/versitygw" # a minute on two cores, once
    [ -x "$store-$versitygw/versitygw" ] || GOBIN="$store-$versitygw" go install "github.com/versity/versitygw/cmd/versitygw@v$versitygw"
    PYTHONPATH="$browser-$playwright" PATH="$tools-$deny/bin:$PATH:$store-$versitygw:$openapi-$schemathesis/bin" {{ python }} -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m outside

# coverage-guided fuzzing of one target after the other (all), SECONDS each; the fewest small inputs that cover what is new go to tests/fuzz/corpus
fuzz SECONDS="60" *TARGETS: venv
    {{ with }} SECONDS_EACH={{ SECONDS }} tests/fuzz/guided/run {{ TARGETS }}

# a million mutated inputs for each decoder: `just fuzz-million --inputs 1000 --seed 7 proof http`
fuzz-million *ARGUMENTS: venv
    {{ with }} {{ seed }} cargo run --release --locked -q -p rustorium-fuzz -- --threads 2 {{ ARGUMENTS }}

# crashes, disks and histories, all of it: power cuts at every call, kill -9 under load and of all at once, damage in each
# kind of file, bad disks, attackers without keys and with a member's, wrong clocks, changed proofs, clients' records; and a
# ceremony of the real circuit, from nobody's secret to a payment
torture: build (debian "go" "golang-go")
    #!/usr/bin/env bash
    set -euo pipefail
    export RUSTORIUM_CUT_STRIDE=1 RUSTORIUM_CUT_LIVES=500 RUSTORIUM_CUT_ROUNDS=20 RUSTORIUM_KILL_ROUNDS=30
    export RUSTORIUM_DAMAGE_SEEDS=5 RUSTORIUM_DISKS=long
    {{ python }} -m pytest -s tests/disk --timeout 7200
    RUSTORIUM_FAULT_ROUNDS=20 {{ python }} -m pytest -s tests/devnet/test_faults.py --timeout 3600
    RUSTORIUM_ABUSE_TIMES=20 RUSTORIUM_HOSTILE_INPUTS=100000 {{ python }} -m pytest -s tests/abuse --timeout 3600
    {{ with }} RUSTORIUM_ZK_MUTATIONS=100000 cargo test --release --locked --workspace --exclude rustorium-native --test mutations
    RUSTORIUM_CEREMONY=long {{ python }} -m pytest -s tests/devnet/test_whole_ceremony.py --timeout 1800
    RUSTORIUM_HISTORY_SEEDS="$(seq -s, 1 20)" RUSTORIUM_HISTORY_OPERATIONS=300 {{ python }} -m pytest -s -m outside tests/outside/test_consistency.py

# a million transactions of version 1 again: every root and receipt must be what it was, some minutes
golden-replay: venv
    {{ with }} RUSTORIUM_GOLDEN=long cargo test --release --locked -p rustorium-execution --test golden

# four validators under load for MINUTES, a fault in every round: memory, files, threads and disk must not grow, nothing is lost, no live node is suspected
soak MINUTES="60" SEED="0" *OPTIONS: build
    PYTHONPATH=tests {{ python }} tests/soak.py --minutes {{ MINUTES }} --seed {{ SEED }} {{ OPTIONS }}

# play COUNT seeds of the simulator from FIRST on; MODE: safety liveness epochs traitors partitions twins bad-hours clocks attacks hosts shards quota authority governance pause activate activate-few activate-at-end activate-twice activate-committee activate-away activate-power-cut activate-back
sim FIRST="0" COUNT="200" MODE="liveness" *OPTIONS: build
    {{ python }} -m rustorium.cli sim run --seed {{ FIRST }} --count {{ COUNT }} --mode {{ MODE }} --jobs 2 {{ OPTIONS }}

# every state of all scenarios of the model of shards, also the large ones, and 2,000 drawn networks; WORDS choose scenarios by name
model-shards *WORDS: build
    PYTHONPATH=tests/sharding {{ python }} tests/sharding/scenarios.py {{ WORDS }}
    RUSTORIUM_SHARDS_MODEL=long {{ python }} -m pytest -q tests/sharding/test_random.py

# the table of flaws in docs/spec/shards.md, by switching off each named rule of the model of shards
model-flaws: build
    PYTHONPATH=tests/sharding {{ python }} tests/sharding/flaw_table.py --write

# thousands of seeds on the release stages and on the model, hours: for a night
sim-long COUNT="5000": build
    for mode in safety liveness epochs; do \
      {{ python }} -m rustorium.cli sim run --count {{ COUNT }} --mode $mode --jobs 2; \
      PYTHONPATH=tests {{ python }} -m model --count {{ COUNT }} --mode $mode --jobs 2; \
    done
    for mode in shards authority governance pause; do \
      {{ python }} -m rustorium.cli sim run --count {{ COUNT }} --mode $mode --jobs 2; \
    done
    RUSTORIUM_CHURN_MS=240000 RUSTORIUM_DIGESTS=long {{ python }} -m pytest tests/sim/test_churn.py tests/sim/test_work_by_digests.py
    just sim-traitors

# every kind of traitor alone and in pairs, every partition of 4 and of 7 nodes, every scenario of twins
sim-traitors: build
    {{ python }} -m rustorium.cli sim run --mode traitors --nodes 4 --count 150 --jobs 2
    {{ python }} -m rustorium.cli sim run --mode traitors --nodes 7 --count 240 --heights 20 --jobs 2
    {{ python }} -m rustorium.cli sim run --mode partitions --nodes 4 --count 60 --heights 20 --jobs 2
    {{ python }} -m rustorium.cli sim run --mode partitions --nodes 7 --count 1754 --heights 10 --jobs 2
    {{ python }} -m rustorium.cli sim run --mode twins --count 23020 --heights 5 --jobs 2

# switch the seeded bugs on in a copy of the tree, one at a time (all, or by name or rule): each must be found by a test
seeded-bugs *NAMES: build
    {{ python }} tools/seeded_bugs.py {{ NAMES }}

# the main job's latencies and throughput on this machine, to benches/results; `just bench --quick` for a glance
bench *ARGUMENTS: build
    {{ python }} benches/main_job.py {{ ARGUMENTS }}

# the same load on this checkout and on another commit, in turns: `just bench-turns v0.2.0 --rates 100 1000 --pairs 4`
bench-turns REF *ARGUMENTS: build
    {{ python }} benches/turns.py {{ REF }} {{ ARGUMENTS }}

# what the interpreter's thread costs a node in each view, and how often it wakes
bench-bridge *ARGUMENTS: build
    {{ python }} benches/bridge.py {{ ARGUMENTS }}

# what the core's steps take, with warm and with cold caches
bench-core *ARGUMENTS: build
    {{ python }} benches/core_steps.py {{ ARGUMENTS }}

# what proofs to clients cost on this machine
bench-proofs *ARGUMENTS: build
    {{ python }} benches/proofs.py {{ ARGUMENTS }}

# what keeping and proving state costs on this machine, beside RocksDB's own db_bench
bench-state *ARGUMENTS: build (debian "db_bench" "rocksdb-tools")
    {{ with }} cargo build --release --locked -q -p rustorium-storage --example store_bench; \
      cargo build --release --locked -q -p rustorium-state --example tree; \
      {{ python }} benches/state.py --programs "$CARGO_TARGET_DIR/release/examples" {{ ARGUMENTS }}

# processor time and bytes of a put's rows in the store's two formats, and of reads from them
bench-rows FOLDER *RUNS="rows-1 rows-1-idle rows-5 rows-300": venv
    {{ with }} cargo run --release --locked -q -p rustorium-storage --example store_bench -- {{ FOLDER }} {{ RUNS }}

# the price of a signature in transactions of both versions, checked together and one by one
bench-signatures: venv
    {{ with }} cargo run --release --locked -q -p rustorium-crypto --example signature_bench

# what the first `pip install .` on a machine costs, with an empty build cache: PART is node or client
bench-install PART="node": venv
    {{ python }} benches/install.py {{ PART }}

# snarkjs and what it is tested with, once per machine; prints the folder
[private]
snarkjs: (debian "npm" "npm")
    #!/usr/bin/env bash
    set -euo pipefail
    snarkjs=0.7.6 circom=0.2.23 circomlib=2.0.5
    folder="${RUSTORIUM_BUILD_CACHE:-$HOME/.cache/rustorium-build}/snarkjs-$snarkjs"
    [ -d "$folder/node_modules/snarkjs" ] || npm install --silent --no-audit --no-fund --prefix "$folder" "snarkjs@$snarkjs" "circom2@$circom" "circomlib@$circomlib" > /dev/null
    echo "$folder"

# what Groth16 proofs and shielded value cost on this machine, beside snarkjs and plain ark-groth16; `--devnet 5000` sends so many too
bench-zk *ARGUMENTS: build
    @{{ with }} RUSTORIUM_SNARKJS="$({{ just_executable() }} snarkjs)"; export RUSTORIUM_SNARKJS; {{ python }} benches/zk.py {{ ARGUMENTS }}

# how often a live peer is suspected without a free core: `record SECONDS FILE`, then `judge FILE`
bench-suspicion *ARGUMENTS: build
    {{ python }} benches/suspicion.py {{ ARGUMENTS }}

# what a signer process adds to a signature on this machine; FOLDER: on the disk that will hold its record; more: how many, and the URI of a key in a token
bench-signer FOLDER *MORE: venv
    {{ with }} cargo run --release --locked -q -p rustorium-signer --example latency -- {{ FOLDER }} {{ MORE }}

# what signer processes cost writes: four validators without and with them, in turns; `--sync-ms 4`: as on a slower disk
bench-signers *ARGUMENTS: build
    {{ python }} benches/signers.py {{ ARGUMENTS }}

# measure the prices of work in the simulator's virtual processors; `--write` checks them in
bench-costs *ARGUMENTS: build
    {{ python }} benches/costs.py {{ ARGUMENTS }}

# how capacity grows with one to three shards, nodes under equal CPU quotas (needs root; 15 minutes, on a quiet machine)
bench-scale *ARGUMENTS: build
    {{ python }} benches/scale.py {{ ARGUMENTS }}

# how near to the floor of their distances committees make transactions final, in virtual time; `--write` for the page
bench-wan *ARGUMENTS: build
    {{ python }} benches/wan.py {{ ARGUMENTS }}

# the same with real processes whose links are delayed (about 2 minutes, on a quiet machine)
bench-wan-real *ARGUMENTS: build
    {{ python }} benches/wan_real.py {{ ARGUMENTS }}

# how soon a follower in another region has executed what is final, in virtual time; `--write` for the page
bench-followers *ARGUMENTS: build
    {{ python }} benches/followers.py {{ ARGUMENTS }}

# how late frames leave on links with simulated delays (about 2 minutes, on a quiet machine)
bench-shaper: venv
    {{ with }} cargo run --release --locked -q -p rustorium-transport --example lateness

# what a view costs with 4 to 100 validators, in the simulator; `--write` puts the table into docs/benchmarks.md
bench-committee *ARGUMENTS: build
    {{ python }} benches/committee.py {{ ARGUMENTS }}

# processor time, bytes written and memory of each operation at its worst, beside the work that it declares under both versions
bench-work *ARGUMENTS: build
    {{ with }} cargo build --release --locked -q -p rustorium-node --example work_bench; \
      {{ python }} benches/work.py --program "$CARGO_TARGET_DIR/release/examples/work_bench" {{ ARGUMENTS }}

# how long the end of an epoch holds blocks up under load, on a devnet and in the simulator
bench-epochs *ARGUMENTS: build
    {{ python }} benches/epochs.py {{ ARGUMENTS }}

# what a replacement of storage keys costs writes
bench-rotation *ARGUMENTS: build
    {{ python }} benches/rotation.py {{ ARGUMENTS }}

# CometBFT beside ours, built with Go into the cache folder
bench-peers *ARGUMENTS: venv
    {{ python }} benches/peers/cometbft.py {{ ARGUMENTS }}

# draw docs/latency.svg from the newest results of `just bench` and `just bench-peers`
chart: venv
    {{ python }} tools/chart.py

# upgrade a devnet of the release before to this one, validator by validator, and then to protocol version 2, under load; REF: a tag or commit, by default the newest tag before HEAD; `--activation`: only the switch
upgrade-rehearsal *REF: build
    {{ with }} {{ python }} tools/upgrade_rehearsal.py {{ REF }}

# write the conformance vectors anew: only for a change of the protocol that is meant
regenerate-vectors: venv
    {{ with }} cargo run --release --locked -p rustorium-crypto --example regenerate_vectors
    {{ with }} cargo run --release --locked -p rustorium-execution --example regenerate_proof_vectors
    {{ with }} {{ seed }} REGENERATE_VECTORS=1 cargo test --release --locked -p rustorium-shard --test it leaders::orders

# write docs/reference and the manual page again from the code: commands, HTTP, Python, limits
reference: build
    {{ python }} tools/reference.py

# the OpenAPI document that nodes serve, anew from the code: after a change of the HTTP API; then `just reference`
openapi: venv
    {{ with }} {{ document }} > "$CARGO_TARGET_DIR/openapi.json" && cp "$CARGO_TARGET_DIR/openapi.json" crates/gateway/openapi.json

# the light client of the explorer as a WebAssembly module, anew: after a change of what it is made of (needs Debian 12 or newer)
wasm: venv
    {{ python }} tools/wasm.py --build

# write what of others is in the wheel, and under which licences, anew: after a change of Cargo.lock
licences: venv
    {{ python }} tools/licences.py

# the documentation as a site in target/site
docs: venv
    {{ python }} -m pip install -q --disable-pip-version-check --require-hashes -r requirements/docs.txt
    {{ python }} -m mkdocs build --strict

# pin the newest versions that pyproject.toml allows, for Python and Rust
lock:
    #!/usr/bin/env bash
    set -euo pipefail
    [ -x target/uv/bin/uv ] || { python3 -m venv target/uv && target/uv/bin/pip install -q uv; }
    pin() { # NAME ARGUMENTS...
        { echo '# Written by `just lock`: every file of every version is pinned by its hash.'
          target/uv/bin/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes \
            --no-header --no-annotate "${@:2}"; } > "target/$1.txt"
        mv "target/$1.txt" "requirements/$1.txt"
    }
    mkdir -p target
    pin test --group pyproject.toml:test pyproject.toml
    pin docs --group pyproject.toml:docs -c requirements/test.txt
    pin wheels --group pyproject.toml:wheels
    pin runtime pyproject.toml -c requirements/test.txt # what `pip install` of the wheel needs, in the versions of the tests
    cargo update
    cargo update --manifest-path tests/fuzz/guided/Cargo.toml
