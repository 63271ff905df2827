"""Recomputing what is stored: `provlog-server fsck`, and the server's self-check."""
