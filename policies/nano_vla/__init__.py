"""A small vision-language-action policy that trains on a CPU, as a LeRobot policy."""
