"""Metrics endpoints that give the answers that a test sets, valid or not."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[], bytes]


def text(height: int = 7, more: str = "") -> bytes:
    """Returns a short metrics text as a node of this release writes it."""
    return f"""# HELP rustorium_consensus_height Newest executed height.
# TYPE rustorium_consensus_height gauge
rustorium_consensus_height{{shard="0"}} {height}
# HELP rustorium_execution_transactions Transactions with a receipt.
# TYPE rustorium_execution_transactions counter
rustorium_execution_transactions_total{{shard="0"}} {10 * height}
# HELP rustorium_gateway_http_responses HTTP responses by status.
# TYPE rustorium_gateway_http_responses counter
rustorium_gateway_http_responses_total{{status="200"}} 3
rustorium_gateway_http_responses_total{{status="503"}} 0
# HELP rustorium_gateway_finality_seconds Until final.
# TYPE rustorium_gateway_finality_seconds histogram
rustorium_gateway_finality_seconds_sum 0.05
rustorium_gateway_finality_seconds_count 4
rustorium_gateway_finality_seconds_bucket{{le="0.01"}} 2
rustorium_gateway_finality_seconds_bucket{{le="0.02"}} 4
rustorium_gateway_finality_seconds_bucket{{le="+Inf"}} 4
{more}# EOF
""".encode()


@contextmanager
def metrics_endpoint(answer: Answer, *, status: int = 200, length: bool = True) -> Iterator[str]:
    """Runs a metrics endpoint; returns its URL. If `length` is false, the answer ends only with the connection."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answer()
            self.send_response(status)
            self.send_header("content-type", "application/openmetrics-text")
            if length:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
