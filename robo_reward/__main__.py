"""``python -m robo_reward`` is ``robo-reward``."""

from robo_reward.cli.program import main

main()
