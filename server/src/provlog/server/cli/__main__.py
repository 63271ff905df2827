"""`python -m provlog.server.cli`."""

from provlog.server.cli import main

main()
