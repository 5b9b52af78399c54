"""LeRobot's reward models as ours, and ours as LeRobot's."""
