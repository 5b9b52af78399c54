"""The backend in this process, on tiny random checkpoints of two real architectures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from robo_reward import contract_tests as contract
from robo_reward.errors import MissingExtra, UserError
from robo_reward.reward_models.judges.local_model import LocalModel
from robo_reward.reward_models.judges.topreward import TOPReward
from robo_reward.reward_models.judges.vlm_judge import VlmJudge

DIGITS = ("1", "2", "3", "4", "5")
FRAMES = contract.moving_square(0, 4).frames["front"]
PROMPT = ("Start:", FRAMES[0], "now:", FRAMES[4], "which level?")
KINDS = ("write_idefics3", "write_qwen3_vl")


def writer(name: str) -> Callable[..., Path]:
    folder = str(Path(__file__).parent)
    if folder not in sys.path:
        sys.path.append(folder)
    import tiny_vlm  # type: ignore[import-not-found]

    found: Callable[..., Path] = getattr(tiny_vlm, name)
    return found


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return writer(request.param)(tmp_path_factory.mktemp("vlm"))


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> LocalModel:
    return LocalModel(str(checkpoint))


def by_hand(model: LocalModel, lead: str, candidate: str) -> float:
    """Log-probability of a candidate's tokens from one plain pass over question, lead and candidate."""
    network, processor = model._load()
    inputs = model._encode(PROMPT, 8)
    added = processor.tokenizer(lead + candidate, add_special_tokens=False)["input_ids"]
    given = processor.tokenizer(lead, add_special_tokens=False)["input_ids"]
    shared = next(
        (k for k, (a, b) in enumerate(zip(added, given, strict=False)) if a != b), min(len(given), len(added))
    )
    ids = torch.cat([inputs["input_ids"], torch.tensor([added])], 1)
    longer = {k: v for k, v in inputs.items() if k not in ("input_ids", "attention_mask", "mm_token_type_ids")}
    if "mm_token_type_ids" in inputs:
        longer["mm_token_type_ids"] = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(added)))
    with torch.no_grad():
        logits = network(input_ids=ids, attention_mask=torch.ones_like(ids), **longer).logits[0].double()
    rows = torch.log_softmax(logits, -1)
    start = inputs["input_ids"].shape[1]
    return float(sum(rows[start + k - 1, added[k]] for k in range(shared, len(added))))


def test_log_probabilities_are_those_of_a_plain_pass(model: LocalModel) -> None:
    (choice,) = model.choose([PROMPT], "ANSWER: ", DIGITS)
    assert choice.log_probability is not None
    assert choice.log_probability.tolist() == pytest.approx([by_hand(model, "ANSWER: ", d) for d in DIGITS], abs=1e-4)


def test_longer_candidates_add_up_their_tokens(model: LocalModel) -> None:
    words = ("zq", "zwx", "k")
    (choice,) = model.choose([PROMPT], "", words)
    assert choice.log_probability is not None
    tokens = [model._load()[1].tokenizer(w, add_special_tokens=False)["input_ids"] for w in words]
    assert max(map(len, tokens)) > 1
    assert choice.log_probability.tolist() == pytest.approx([by_hand(model, "", w) for w in words], abs=1e-4)


def test_the_greedy_answer_begins_with_the_likeliest_token(model: LocalModel) -> None:
    network, processor = model._load()
    with torch.no_grad():
        likeliest = int(network(**model._encode(PROMPT, 1)).logits[0, -1].argmax())
    assert model.answer([PROMPT], 1) == [processor.tokenizer.decode([likeliest], skip_special_tokens=True)]
    assert model.answer([PROMPT], 6) == model.answer([PROMPT], 6)


def test_the_pictures_and_their_order_matter(model: LocalModel) -> None:
    swapped = ("Start:", FRAMES[4], "now:", FRAMES[0], "which level?")
    darker = ("Start:", FRAMES[0] // 4, "now:", FRAMES[4], "which level?")
    found = [c.log_probability for c in model.choose([PROMPT, swapped, darker], "ANSWER: ", DIGITS)]
    assert all(f is not None for f in found)
    assert not np.allclose(found[0], found[1], atol=1e-7)  # type: ignore[arg-type]
    assert not np.allclose(found[0], found[2], atol=1e-7)  # type: ignore[arg-type]


@pytest.mark.parametrize("judge", [VlmJudge, TOPReward])
def test_judges_keep_the_contract_on_it(model: LocalModel, checkpoint: Path, judge: Any) -> None:
    made, again = (judge(b, ("front", "side"), max_frames=3, prefixes=3) for b in (model, LocalModel(str(checkpoint))))
    trace = contract.moving_square(5, 6, ("front", "side"), 32, "policy")
    contract.check_estimates(made, trace)
    contract.check_saved(made, again, trace)
    assert 0 < made.estimate_episode(trace).progress[-1] < 1
    assert made.parse_failures == 0


# --- what cannot be used ----------------------------------------------------------------------------------------------


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    folder = writer("write_idefics3")(tmp_path / "old", safe=False)
    with pytest.raises(UserError, match="safetensors"):
        LocalModel(str(folder)).answer([PROMPT], 1)


def test_code_of_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    folder = writer("write_idefics3")(tmp_path / "hostile")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {key: "mine.Mine" for key in ("AutoConfig", "AutoModelForImageTextToText")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: ...\n")
    with pytest.raises(UserError, match="not a vision-language model that can be read here"):
        LocalModel(str(folder)).answer([PROMPT], 1)
    assert not (tmp_path / "ran").exists()


def test_a_question_longer_than_the_model_reads(tmp_path: Path) -> None:
    folder = writer("write_idefics3")(tmp_path / "short", positions=32)
    with pytest.raises(UserError, match=r"longer than the 32.*max_frames"):
        LocalModel(str(folder)).answer([PROMPT], 4)


def test_a_model_without_a_chat_template(tmp_path: Path) -> None:
    folder = writer("write_idefics3")(tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="instruction-tuned"):
        LocalModel(str(folder)).answer([PROMPT], 4)


def test_damaged_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = writer("write_idefics3")(tmp_path / "nan")
    file = folder / "model.safetensors"
    save_file({k: v * torch.nan for k, v in load_file(file).items()}, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"computes NaN.*float32"):
        LocalModel(str(folder)).choose([PROMPT], "ANSWER: ", DIGITS)
    save_file({k: v for k, v in load_file(file).items() if "lm_head" not in k}, file, {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights \(lm_head.weight"):
        LocalModel(str(folder)).answer([PROMPT], 1)
    file.write_bytes(b"garbage")
    with pytest.raises(UserError, match="can be read here"):
        LocalModel(str(folder)).answer([PROMPT], 1)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": None}, "backend.model"),
        ({"model": "./nowhere"}, "no folder"),
        ({"model": "nobody/nothing-at-all"}, "downloaded before"),
        ({"model": "x", "dtype": "float8"}, "unknown dtype 'float8'"),
    ],
)
def test_bad_settings(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        LocalModel(**settings).answer([PROMPT], 1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    with pytest.raises(UserError, match="device=cpu"):
        LocalModel(str(checkpoint), device="cuda").answer([PROMPT], 1)


def test_a_missing_package_says_the_install_line(monkeypatch: pytest.MonkeyPatch, checkpoint: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"robo-reward\[vlm\]"):
        LocalModel(str(checkpoint)).answer([PROMPT], 1)
