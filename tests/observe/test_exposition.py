"""The strict reader of `/metrics` reads what a node writes, and nothing else."""

import math
import random

import pytest
from fake_nodes import text

from rustorium.observe import exposition
from rustorium.observe.exposition import BYTES_MAX, ExpositionError, histograms, number, parse, quantile, series


def one(*lines: str) -> bytes:
    return "".join(f"{line}\n" for line in (*lines, "# EOF")).encode()


def test_a_nodes_text_is_read_family_by_family() -> None:
    families = parse(text(9))
    assert list(families) == [
        "rustorium_consensus_height",
        "rustorium_execution_transactions",
        "rustorium_gateway_http_responses",
        "rustorium_gateway_finality_seconds",
    ]
    height = families["rustorium_consensus_height"]
    assert (height.kind, height.help, [sample.value for sample in height.samples]) == (
        "gauge",
        "Newest executed height.",
        [9.0],
    )
    responses = families["rustorium_gateway_http_responses"].samples
    assert [(sample.name, sample.labels, sample.value) for sample in responses] == [
        ("rustorium_gateway_http_responses_total", (("status", "200"),), 3.0),
        ("rustorium_gateway_http_responses_total", (("status", "503"),), 0.0),
    ]
    [(labels, buckets)] = histograms(families["rustorium_gateway_finality_seconds"])
    assert (labels, buckets) == ((), [(0.01, 2.0), (0.02, 4.0), (math.inf, 4.0)])


def test_labels_are_unescaped_and_written_again() -> None:
    raw = one("# TYPE a gauge", r'a{y="back\\slash \"quoted\" new\nline",x="{}, ="} -1.5e3')
    [sample] = parse(raw)["a"].samples
    assert sample.labels == (("x", "{}, ="), ("y", 'back\\slash "quoted" new\nline'))
    assert sample.value == -1500.0
    assert parse(one("# TYPE a gauge", f"{series('a', sample.labels)} {number(sample.value)}"))["a"].samples == [sample]


GAUGE = "# TYPE a gauge"
BUCKETS = ("# TYPE h histogram", "h_sum 1", "h_count 2")
WRONG = {
    "before their `# EOF`": [b"", b"a 1\n", b"# EOF", one("# EOF", "")[:-1], text()[:-2], text() + b"more\n"],
    "UTF-8": [one(GAUGE, "a 1").replace(b"1", b"\xff")],
    "stands below": [one(GAUGE, "b 1"), one("# TYPE a counter", "a 1"), one(GAUGE, "a_total 1"),
                     one(GAUGE, "a_created 1")],
    "neither a sample nor": [one("a 1"), one(GAUGE, "1a 1"), one(GAUGE, ""), one(GAUGE, " a 1")],
    "neither TYPE": [one("# EOF", "a 1"), one("# NOTE a b"), one("# TYPE"), one("# TYPE a{} gauge")],
    "unknown type": [one("# TYPE a summary"), one("# TYPE a")],
    "comes twice": [one(GAUGE, "a 1", "a 2"), one(GAUGE, "a 1", "# TYPE b gauge", GAUGE),
                    one(GAUGE, 'a{x="1"} 1', 'a{x="1"} 1')],
    "described after": [one(GAUGE, "a 1", "# HELP a late")],
    "no value": [one(GAUGE, "a"), one(GAUGE, "a x"), one(GAUGE, "a 1 2"), one(GAUGE, "a  1"), one(GAUGE, "a 0x1"),
                 one(GAUGE, "a 1_0"), one(GAUGE, "a nan"), one(GAUGE, "a " + "9" * 100), one(GAUGE, "a \u0661")],
    "no count": [one("# TYPE a counter", "a_total -1"), one("# TYPE a counter", "a_total NaN"),
                 one("# TYPE a counter", "a_total +Inf"), one("# TYPE h histogram", "h_count -1")],
    "labels can't be read": [one(GAUGE, "a{ 1"), one(GAUGE, 'a{x="1" 1'), one(GAUGE, 'a{x="1"y="2"} 1'),
                             one(GAUGE, "a{x=1} 1"),
                             one(GAUGE, 'a{x="1",x="2"} 1'), one(GAUGE, r'a{x="\q"} 1'),
                             one(GAUGE, "a{" + ",".join(f'x{i}="1"' for i in range(17)) + "} 1")],
    "longer than": [one(GAUGE, 'a{x="' + "y" * 9_000 + '"} 1'), b"#" * (BYTES_MAX + 1)],
    "don't add up": [one(*BUCKETS, 'h_bucket{le="1"} 2'), one(*BUCKETS, 'h_bucket{le="1"} 3', 'h_bucket{le="+Inf"} 2'),
                     one(*BUCKETS, 'h_bucket{le="2"} 1', 'h_bucket{le="1"} 1', 'h_bucket{le="+Inf"} 2')],
    "other than its buckets": [one(*BUCKETS, 'h_bucket{le="+Inf"} 3'), one(BUCKETS[0], 'h_bucket{le="+Inf"} 3')],
    "has no buckets": [one(*BUCKETS)],
    "has no bound": [one(*BUCKETS, "h_bucket 2"), one(*BUCKETS, 'h_bucket{le="one"} 2')],
}  # fmt: skip


@pytest.mark.parametrize(("part", "raw"), [(part, raw) for part, texts in WRONG.items() for raw in texts])
def test_invalid_texts_are_refused_with_the_fault(part: str, raw: bytes) -> None:
    with pytest.raises(ExpositionError) as refused:
        parse(raw)
    assert part in refused.value.message
    assert refused.value.code == "bad-metrics"


def test_the_number_of_samples_and_metrics_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "SAMPLES_MAX", 3)
    many = [f'a{{x="{i}"}} 1' for i in range(4)]
    assert parse(one(GAUGE, *many[:3]))
    with pytest.raises(ExpositionError, match="more than 3 samples"):
        parse(one(GAUGE, *many))
    monkeypatch.setattr(exposition, "FAMILIES_MAX", 1)
    with pytest.raises(ExpositionError, match="more than 1 metrics"):
        parse(one(GAUGE, "# TYPE b gauge"))


def test_mutated_texts_are_read_or_refused_and_never_raise_anything_else() -> None:
    seeded, good = random.Random(7), text()
    refused = 0
    for _ in range(3_000):
        raw = bytearray(good)
        for _ in range(seeded.randint(1, 4)):
            at = seeded.randrange(len(raw))
            match seeded.randrange(3):
                case 0:
                    raw[at] = seeded.randrange(256)
                case 1:
                    del raw[at : at + seeded.randint(1, 40)]
                case _:
                    raw[at:at] = raw[at : at + seeded.randint(1, 40)]
        try:
            parse(bytes(raw))
        except ExpositionError:
            refused += 1
    assert 1_000 < refused < 3_000


def test_quantiles_are_those_of_prometheus() -> None:
    buckets = [(0.1, 2.0), (0.2, 6.0), (0.4, 8.0), (math.inf, 10.0)]
    assert quantile(buckets, 0.2) == 0.1
    assert quantile(buckets, 0.4) == pytest.approx(0.15)
    assert quantile(buckets, 0.8) == pytest.approx(0.4)
    assert quantile(buckets, 0.99) == 0.4, "the highest bound that is known"
    assert quantile(buckets, 0.0) == 0.0
    assert quantile([], 0.5) is None
    assert quantile([(1.0, 0.0), (math.inf, 0.0)], 0.5) is None


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, "1"),
        (0.5, "0.5"),
        (-3.0, "-3"),
        (math.inf, "+Inf"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_are_written_as_they_are_read(value: float, written: str) -> None:
    assert number(value) == written
    again = parse(one(GAUGE, f"a {written}"))["a"].samples[0].value
    assert again == value or (math.isnan(again) and math.isnan(value))
