"""The server of provlog."""
