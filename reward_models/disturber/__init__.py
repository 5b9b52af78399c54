"""Forces that push a robot while it learns: the H-infinity adversary and the baselines that it is compared with."""
