"""Rewards from vision-language embeddings: pictures and prompts in one space."""
