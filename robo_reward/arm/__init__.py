"""What the core knows of an arm: its episodes, playing a policy on it, and learning while it moves."""
