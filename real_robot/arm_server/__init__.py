"""A small process that owns an arm's port, runs no model, and lets nothing through that breaks a limit."""
