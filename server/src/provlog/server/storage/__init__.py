"""Where logs are kept: one interface (`base`), one module for each engine."""
