"""The world that can break: arms behind a guard, real or emulated, and policies on them."""
