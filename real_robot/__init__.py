"""The world that can break: arms behind a safety gate (not part of this release)."""
