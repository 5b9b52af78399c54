"""Policies: who acts, and how it learns."""
