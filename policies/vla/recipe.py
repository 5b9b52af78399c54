"""What the ``policy`` group says, until there is data to build the policy for: from scratch, or from a checkpoint."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from robo_reward.contracts import Floats
from robo_reward.errors import MissingExtra, UserError, unknown_name
from robo_reward.policies.vla.checkpoint import (
    find_pretrained,
    load_processors,
    load_weights,
    read_config,
    register_policies,
)
from robo_reward.policies.vla.features import (
    ACTION,
    PICTURE,
    STATE,
    DataFacts,
    Names,
    cameras_of,
    check_sizes,
    full_key,
    short_name,
    take_sizes,
)
from robo_reward.policies.vla.lerobot_policy import LeRobotPolicy
from robo_reward.policies.vla.normalisation import Stats, check_stats
from robo_reward.policies.vla.policy_settings import RANDOM, apply, config_of, refused
from robo_reward.policies.vla.precision import DTYPES, chosen_dtype

Normalisation = Literal["auto", "data", "checkpoint"]
Sizes = Literal["checkpoint", "data"]


class PolicyRecipe:
    """A LeRobot policy that is yet to be built: ``build`` makes it fit a dataset or a world.

    ``type``: LeRobot's name of the policy, None: whatever ``path`` holds. ``path``: a checkpoint folder, a run of ours
    or a hub id; None builds from scratch. ``rename``: our camera or state names -> the policy's. ``views``: the cameras
    that a policy from scratch looks at, None: all. ``lora``: rank of LoRA adapters that are trained in place of the
    weights, 0: none. ``dtype``: one of ``precision.DTYPES``. ``normalisation`` of a checkpoint: its own, the data's, or
    ``auto`` (its own if it has one, refused where the data lie far off). ``sizes`` of a checkpoint's states and
    actions: its own, or the ``data``'s, where it pads both: to train a base checkpoint for another robot.
    ``settings``: fields of LeRobot's config of that policy; None leaves its default or the checkpoint's.
    """

    def __init__(
        self,
        type: str | None = None,
        path: str | None = None,
        rename: Mapping[str, str] | None = None,
        views: Sequence[str] | None = None,
        lora: int = 0,
        lora_targets: str | Sequence[str] | None = None,
        dtype: str = "auto",
        normalisation: Normalisation = "auto",
        sizes: Sizes = "checkpoint",
        **settings: Any,
    ) -> None:
        if type is None and path is None:
            raise UserError(
                "policy=lerobot needs policy.path=FOLDER or a hub id, or policy.type=act for one from scratch"
            )
        if lora < 0:
            raise UserError(f"policy.lora={lora} must be 0 (none) or the adapters' rank")
        for name, value, known in (
            ("dtype", dtype, DTYPES),
            ("normalisation", normalisation, ("auto", "data", "checkpoint")),
            ("sizes", sizes, ("checkpoint", "data")),
        ):
            if value not in known:
                raise unknown_name(f"policy.{name}", str(value), known)
        self.type, self.path, self.views = type, path, None if views is None else tuple(views)
        self._rename, self._lora, self._targets = rename, lora, lora_targets
        self._dtype, self._normalisation, self._sizes = dtype, normalisation, sizes
        given = {key: _filled(value) for key, value in settings.items() if value is not None}
        self._settings = {key: None if value == RANDOM else value for key, value in given.items()}

    def views_of(self, available: Sequence[str]) -> tuple[str, ...]:
        """Which of the available views the policy will look at; none if it is blind.

        Raises:
            UserError: a view that there is not, or ``rename`` does not tell the cameras apart.
        """
        if self.path is not None:
            found, own = find_pretrained(self.path)
            return tuple(self._names(own).views_of(read_config(found, self.type, "cpu"), available))
        if self._settings.get("blind"):
            return ()
        for view in self.views or ():
            if view not in available:
                raise unknown_name("policy.views", view, available)
        chosen = tuple(available) if self.views is None else self.views
        _check_apart(self._names({}), chosen)
        return chosen

    def settings(self) -> Any:
        """LeRobot's config of the policy as far as it follows without data: its inputs are open if from scratch.

        Raises:
            UserError: settings that there are not, do not go together or do not go with the checkpoint.
            MissingExtra: the policy's packages are not installed.
        """
        with _packages(self.type):
            return self._config("cpu") if self.path is None else self._held("cpu")[0]

    def check_names(self, available: Collection[str]) -> None:
        """Refuses ``rename`` of cameras that neither data nor world (``available``, together) or the checkpoint know.

        Raises:
            UserError: as said.
        """
        if self._rename:
            read = [] if self.path is None else cameras_of(read_config(find_pretrained(self.path)[0], self.type, "cpu"))
            Names(dict(self._rename)).check_known(available, read or None)

    def build(
        self,
        facts: DataFacts,
        low: Floats | None = None,
        high: Floats | None = None,
        device: str = "cpu",
        seed: int = 0,
    ) -> LeRobotPolicy:
        """The policy for data or a world; ``low``, ``high`` (A,): what actions are clipped to, None: not at all.

        Raises:
            UserError: names, sizes or statistics do not fit, or the checkpoint is of another type.
            MissingExtra: the policy's packages are not installed.
        """
        with _packages(self.type):
            made = self._scratch(facts, device) if self.path is None else self._pretrained(facts, device)
        policy, before, after, names = made
        bound = np.full(facts.actions, np.inf, np.float32)
        return LeRobotPolicy(
            policy,
            before,
            after,
            names,
            -bound if low is None else low,
            bound if high is None else high,
            module=self._adapted(policy),
            dtype=chosen_dtype(self._dtype, device),
            seed=seed,
        )

    def _names(self, own: Mapping[str, Any]) -> Names:
        return Names(dict(self._rename) if self._rename else dict(own.get("rename", {})))

    def _scratch(self, facts: DataFacts, device: str) -> tuple[Any, Any, Any, Names]:
        from lerobot.configs import FeatureType, PolicyFeature
        from lerobot.policies.factory import get_policy_class, make_pre_post_processors

        names = self._names({})
        views = list(facts.views) if self._settings.get("blind") else self.views_of(list(facts.views))
        shown = {view: names.theirs(view) for view in sorted(views)}
        inputs = {key: PolicyFeature(FeatureType.VISUAL, (3, *facts.views[view])) for view, key in shown.items()}
        inputs[names.theirs("state")] = PolicyFeature(FeatureType.STATE, (facts.states,))
        outputs = {ACTION: PolicyFeature(FeatureType.ACTION, (facts.actions,))}
        config = self._config(device, input_features=inputs, output_features=outputs)
        try:
            config.validate_features()
        except ValueError as error:
            raise refused(config.type, self._settings, error) from error
        try:
            before, after = make_pre_post_processors(config, dataset_stats=_renamed(facts, names, shown))
            policy = get_policy_class(config.type)(config).to(device)
        except OSError as error:  # a language model that neither the cache nor the hub has
            raise refused(config.type, self._settings, error) from error
        return policy, before, after, names

    def _config(self, device: str, **features: Any) -> Any:
        """That of a policy from scratch."""
        from lerobot.configs import PreTrainedConfig

        register_policies()
        known = PreTrainedConfig.get_known_choices()
        if self.type is None or self.type not in known:
            raise unknown_name("type of LeRobot policy", str(self.type), known)
        return config_of(
            self.type, PreTrainedConfig.get_choice_class(self.type), self._settings, device=device, **features
        )

    def _held(self, device: str) -> tuple[Any, str, Names]:
        """A checkpoint's config with the settings, where it lies, and its cameras' names."""
        assert self.path is not None
        path, own = find_pretrained(self.path)
        config = read_config(path, self.type, device)
        apply(config, self._settings, path)
        return config, path, self._names(own)

    def _pretrained(self, facts: DataFacts, device: str) -> tuple[Any, Any, Any, Names]:
        config, path, names = self._held(device)
        shown = names.views_of(config, list(facts.views))
        if self._sizes == "data":
            take_sizes(config, facts, names)
        check_sizes(config, facts, names)
        policy = load_weights(config, path)
        config.pretrained_path = path
        stats = _renamed(facts, names, shown)
        before, after = load_processors(config, path)
        if stats is not None and self._takes_data(config, before, stats):
            before, after = load_processors(config, path, _floored(config, stats))
        return policy, before, after, names

    def _takes_data(self, config: Any, before: Any, stats: Stats) -> bool:
        """Whether a checkpoint is normalised with the data's statistics. UserError where its own do not fit."""
        if self._sizes == "data" and self._normalisation == "auto":
            return True
        theirs = next((step.stats for step in before.steps if getattr(step, "stats", None)), None) or {}
        if self._normalisation != "auto":
            return self._normalisation == "data"
        if ACTION not in theirs:
            return True
        check_stats(config.type, theirs, stats)
        return False

    def _adapted(self, policy: Any) -> Any:
        """The policy with LoRA adapters, of which alone is trained; the policy itself without."""
        if not self._lora:
            return policy
        if self.path is None:
            raise UserError(f"policy.lora={self._lora} adapts a trained policy: give one with policy.path=, or lora=0")
        overrides: dict[str, Any] = {"method_type": "LORA", "r": self._lora}
        if self._targets is not None:
            overrides["target_modules"] = self._targets if isinstance(self._targets, str) else list(self._targets)
        try:
            return policy.wrap_with_peft(peft_cli_overrides=overrides)
        except ValueError as error:
            raise UserError(
                f"policy.lora={self._lora} on a {policy.config.type} policy: {error} (here: policy.lora_targets=[...])"
            ) from error


@contextmanager
def _packages(kind: str | None) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        package = (error.name or "transformers").partition(".")[0]
        if find_spec(package) is None:
            raise MissingExtra(package, "vla", f"policy={kind}") from error
        said = " ".join(str(error).split())
        raise UserError(f"policy={kind} lacks what it builds on: {said}") from error  # LeRobot says what to install


def _filled(value: Any) -> Any:
    """A mapping without what is null in it; anything else as it is."""
    return {key: part for key, part in value.items() if part is not None} if isinstance(value, Mapping) else value


def _check_apart(names: Names, views: Sequence[str]) -> None:
    """Refuses a policy from scratch that would take two cameras for one."""
    keys = [names.theirs(view) for view in views]
    for key in keys:
        if keys.count(key) > 1:
            same = [view for view, other in zip(views, keys, strict=True) if other == key]
            raise UserError(
                f"policy.rename makes one camera '{short_name(key)}' of {' and '.join(same)}: give them names of their "
                f"own, or choose one of them, e.g. policy.views=[{same[0]}]"
            )


def _renamed(facts: DataFacts, names: Names, shown: Mapping[str, str]) -> Stats | None:
    """The data's statistics by the policy's keys; of pictures only those of ``shown``, our view -> its key."""
    if facts.stats is None:
        return None
    theirs = {full_key(view): key for view, key in shown.items()}
    theirs |= {key: names.theirs(key) for key in facts.stats if not key.startswith((PICTURE, ACTION))}
    return {theirs.get(key, key): dict(facts.stats[key]) for key in facts.stats if key in theirs or key == ACTION}


def _floored(config: Any, stats: Stats) -> Stats:
    """The statistics as our own policy takes them; those of others unchanged."""
    if not hasattr(config, "action_std_floor"):
        return stats
    from robo_reward.policies.nano_vla.processor_nano_vla import floored

    return floored(stats, {STATE: config.state_std_floor, ACTION: config.action_std_floor}) or stats
