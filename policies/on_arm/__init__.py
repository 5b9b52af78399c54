"""Learning on an arm: a policy from cameras and joints, corrected by a person and by a reward from pictures."""
