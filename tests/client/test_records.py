"""Results as plain values for scripts and data frames, and as tables in notebooks."""

import json

from rustorium.records import Rows
from rustorium.types import (
    At,
    Balance,
    BalancePage,
    Block,
    Claim,
    Failure,
    HistoryPage,
    ProvenState,
    Receipt,
    Subject,
    Value,
    Version,
)

AT = At(9, "ab" * 32)
RECEIPT = Receipt("cd" * 32, "rs1a", 3, 9, 0, 1_700, 12, Failure("insufficient-balance", 1))


def test_a_result_becomes_values_that_json_holds() -> None:
    shown = RECEIPT.to_dict()
    assert (shown["height"], shown["failure"]) == (9, {"code": "insufficient-balance", "operation": 1})
    assert json.loads(json.dumps(shown)) == shown
    value = Value("rs1a", b"\xff", None, AT).to_dict()
    assert (value["key_hex"], value["value_hex"], value["at"]["height"]) == ("ff", None, 9)
    state = ProvenState(AT, Claim(10, "ef", 5, 0), {Subject("rs1a", key=b"k"): Value("rs1a", b"k", b"v", AT)}, b"p")
    assert state.to_dict()["items"] == [Value("rs1a", b"k", b"v", AT).to_dict()] == state.to_dicts()
    assert json.dumps(state.to_dict())


def test_pages_become_rows() -> None:
    page = HistoryPage((Version(9, b"two"), Version(4, None)), None, 1, AT)
    assert [(row["height"], row["value_hex"]) for row in page.to_dicts()] == [(9, b"two".hex()), (4, None)]
    holdings = BalancePage((Balance("rs1a", "ab", 2**80, AT),), None, AT)
    assert holdings.to_dicts()[0]["amount"] == 2**80
    rows = Rows([RECEIPT, RECEIPT])
    assert rows == (RECEIPT, RECEIPT)
    assert [row["index"] for row in rows.to_dicts()] == [0, 0]


def test_notebooks_show_tables_and_nothing_of_a_value_is_markup() -> None:
    page = HistoryPage((Version(9, b"<script>"), Version(4, b"\xff" * 100)), None, 1, AT)
    html = page._repr_html_()
    assert html.count("<tr>") == 3
    assert "<th>height</th><th>value</th>" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert "ffff" in html
    assert "ff" * 100 not in html
    block = Block(9, "ab" * 32, 1, "cd" * 32, 0, 5, 2, 8, "ef" * 32, raw=b"\x01" * 999)
    assert "<td>height</td><td>9</td>" in block._repr_html_()
    assert "raw" not in block._repr_html_()
    assert "insufficient-balance" in Rows([RECEIPT])._repr_html_()
    assert "no rows" in Rows([])._repr_html_()
