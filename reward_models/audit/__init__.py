"""How good a reward model is: metrics against ground truth, for measurement only."""
