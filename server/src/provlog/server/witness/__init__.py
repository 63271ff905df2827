"""A witness of other people's logs (C2SP tlog-witness): it cosigns what only grows."""
