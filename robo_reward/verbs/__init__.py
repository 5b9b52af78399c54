"""One module per command-line verb; each composes wings through hydra and knows none by name."""
