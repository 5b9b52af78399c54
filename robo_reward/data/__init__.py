"""Episodes on disk: LeRobot datasets, videos, demonstrations and who gives them."""
