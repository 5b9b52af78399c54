"""``python -m robo_reward.cli`` is ``robo-reward``."""

from robo_reward.cli.program import main

main()
