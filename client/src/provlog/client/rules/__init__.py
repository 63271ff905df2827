"""What rules on entries are made of; `provlog.client.entry_rules` is the way in."""
