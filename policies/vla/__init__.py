"""Vision-language-action policies: any of LeRobot's behind our contract, and their supervised training."""
