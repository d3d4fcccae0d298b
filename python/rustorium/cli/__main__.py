"""`python -m rustorium.cli`."""

from rustorium.cli.app import main

main()
