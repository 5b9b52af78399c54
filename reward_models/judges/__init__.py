"""Judges: vision-language models, here or behind a server, that say how far an episode got."""
