"""Their own tests: the checks that robo-reward ships, on their reward model."""

from their_reward import Redness

from robo_reward import contract_tests as contract


def test_redness_keeps_the_contract():
    model = Redness("front")
    episodes = [contract.moving_square(seed, source="policy") for seed in range(3)]
    contract.check_estimates(model, episodes[0])
    contract.check_steps_agree(model, episodes)
    contract.check_reset_isolation(model, *episodes)
