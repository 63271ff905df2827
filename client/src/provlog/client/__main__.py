"""`python -m provlog.client` is the command `provlog`."""

from provlog.client.cli import main

main()
