"""The client of provlog."""
