"""Warnings of ours read as sentences on the command line; those of other libraries stay as they are."""

from __future__ import annotations

import subprocess
import sys
import warnings

import robo_reward.errors
from robo_reward.cli.plain_warnings import plain_warnings


def test_ours_are_sentences_and_others_keep_their_place() -> None:
    theirs = warnings.formatwarning("old", DeprecationWarning, "/lib/x.py", 3, "x = 1")
    with plain_warnings():
        ours = warnings.formatwarning("it shakes", UserWarning, str(robo_reward.errors.__file__), 3, "x = 1")
        assert ours == "robo-reward: warning: it shakes\n"
        assert warnings.formatwarning("old", DeprecationWarning, "/lib/x.py", 3, "x = 1") == theirs
    assert ".py" in warnings.formatwarning("it shakes", UserWarning, str(robo_reward.errors.__file__), 3, "x = 1")


def test_a_user_who_takes_random_weights_reads_a_sentence_and_no_code() -> None:
    program = (
        "from robo_reward.cli.plain_warnings import plain_warnings\n"
        "from robo_reward.reward_models.clip.weights import random_weights\n"
        "with plain_warnings(), random_weights('encoder=timm:test_resnet/random'): pass"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.startswith("robo-reward: warning: encoder=timm:test_resnet/random has RANDOM weights")
    assert done.stderr.count("\n") == 1
    assert ".py" not in done.stderr
