"""Analysis of a recording: where a transaction's time goes, what is slowest, and what to try."""
