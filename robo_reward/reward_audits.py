"""The audits behind a reward: of its own folder, of the folders of its members, of what a server prices with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

from robo_reward.audit_record import VERDICTS, AuditRecord, check_accepted, read_record, weights_sha256
from robo_reward.errors import UserError
from robo_reward.recipe_changes import changed, changes_of
from robo_reward.runs.summary import Audit

ALTERED = "altered"
"""In place of a hash: that of no weights."""
DEEPEST = 8
"""Saved models whose recipes name saved models."""


@dataclass(frozen=True, slots=True)
class PartAudit:
    """What the audit says of a reward or of a part of it.

    ``folder``: where that lies, ``where``: as whose member, behind which server; ``record``: None if it was never
    audited; ``whole``: it is the reward itself.
    """

    folder: str
    record: AuditRecord | None
    where: str = ""
    whole: bool = True

    @property
    def place(self) -> str:
        """For a message."""
        return f"'{self.folder}'{self.where}"

    @property
    def current(self) -> AuditRecord | None:
        """The record if it is about what the folder holds."""
        return self.record if self.record is not None and self.record.current else None


@dataclass(frozen=True, slots=True)
class Source:
    """A saved model (``folder``) that prices, and what it is made of (``parts``), which counts where it has no record.

    Without a folder, what a server said (``told``). ``member``: its name in an ensemble. ``sha256``: of its weights
    when they were read; None: they are hashed when the record is. ``altered``: it prices with other settings than its
    yaml's, so that no record there is about it.
    """

    folder: Path | None
    parts: tuple[Source, ...] = ()
    told: tuple[PartAudit, ...] = ()
    member: str | None = None
    sha256: str | None = None
    altered: bool = False

    def audits(self) -> list[PartAudit]:
        """Its own, if it has one that is current or no part has any; else its parts'.

        Raises:
            UserError: a damaged ``audit.json``.
        """
        if self.folder is None:
            return [self._named(audit) for audit in self.told]
        digest = ALTERED if self.altered else self.sha256
        own = self._named(PartAudit(str(self.folder), read_record(self.folder, digest)))
        if own.current is not None:
            return [own]
        within = [self._named(audit) for part in self.parts for audit in part.audits()]
        return within if any(audit.current is not None for audit in within) else [own]

    def hashed(self) -> Source:
        """The same with the hashes of the weights that lie there now."""
        digest = None if self.folder is None else weights_sha256(self.folder)
        return replace(self, sha256=digest, parts=tuple(part.hashed() for part in self.parts))

    def _named(self, audit: PartAudit) -> PartAudit:
        if self.member is None:
            return audit
        return replace(audit, where=f"{audit.where} (member '{self.member}')", whole=False)


def sources_of(model: Any, config: Any) -> tuple[Source, ...]:
    """Where ``model``, built from its group ``config``, comes from; nothing for one that the group alone describes.

    Members of ensembles, nested ones too, and models that a server prices with are found; of a server that does not
    say, the folder that it was started on.

    Raises:
        UserError: a folder that holds no reward model.
    """
    from omegaconf import OmegaConf

    held: Any = OmegaConf.to_container(config, resolve=True) if OmegaConf.is_config(config) else config
    return tuple(_sources(model, held, DEEPEST))


def audits_of(model: Any, config: Any) -> list[PartAudit]:
    """The audits of what ``sources_of`` finds; errors as there, and for a damaged ``audit.json``."""
    return [audit for source in sources_of(model, config) for audit in source.audits()]


def check_audits(audits: Sequence[PartAudit], accepted: bool) -> None:
    """Stops a training on a reward that any of ``audits`` refuses, unless the user accepts it.

    Raises:
        UserError: that names the folder, with the reasons and the way out.
    """
    for audit in audits:
        if (record := audit.current) is not None:
            check_accepted(record.verdict, record.reasons, accepted, f"the reward in {audit.place}")


def tell_audits(audits: Sequence[PartAudit], world: str, fitted: bool = True) -> tuple[Audit | None, str | None]:
    """Prints what the audits say. Returns the reward's own verdict ('refuse' if a part's is) and a note on it, or None.

    ``world``: the name of the one that it will be trained in. ``fitted``: False of a whole that the run will fit.
    """
    if not audits:
        print("this reward was never audited: robo-reward audit reward_model=NAME says what it is worth")
        return None, "none"
    notes = [_tell(audit, world) for audit in audits]
    known: list[Audit] = [audit.current.verdict for audit in audits if audit.current is not None]
    if len(audits) == 1 and audits[0].whole:
        return (known[0] if known else None), notes[0]
    if fitted:
        print(
            "as a whole this reward was never audited: robo-reward audit reward_model=NAME says what it is worth, and "
            "keeps it with its verdict for reward_model.path=FOLDER"
        )
    return ("refuse" if "refuse" in known else None), ("of its parts" if known else "none" if fitted else None)


def pack_audits(audits: Sequence[PartAudit]) -> list[dict[str, Any]]:
    """For the header of a server's greeting."""
    return [asdict(audit) | {"folder": str(Path(audit.folder).absolute())} for audit in audits]


def unpack_audits(told: Any, server: str) -> tuple[PartAudit, ...] | None:
    """Takes back what ``pack_audits`` gave, with where it is served; None from a server that does not say.

    Raises:
        UserError: for what makes no sense.
    """
    if told is None:
        return None
    try:
        return tuple(
            PartAudit(
                str(one["folder"]), _record(one["record"]), f"{one['where']} (served at {server})", bool(one["whole"])
            )
            for one in told
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"what the server at {server} says of its audit makes no sense ({error!r})") from error


def _record(told: Any) -> AuditRecord | None:
    if told is None:
        return None
    verdict, env = told["verdict"], told["env"]
    if verdict not in VERDICTS:
        raise ValueError(f"verdict '{verdict}' is none of {', '.join(VERDICTS)}")
    reasons, elsewhere = (tuple(str(word) for word in told[key]) for key in ("reasons", "elsewhere"))
    current, short = bool(told["current"]), bool(told["short"])
    return AuditRecord(cast(Any, verdict), reasons, current, short, None if env is None else str(env), elsewhere)


def _tell(audit: PartAudit, world: str) -> str | None:
    record = audit.current
    if record is None:
        why = "was never audited" if audit.record is None else "is not what its audit.json is about"
        way = f"robo-reward audit reward_model.path={audit.folder} says what it is worth"
        print(f"the reward in {audit.place} {why}: {way}")
        return "none" if audit.record is None else "of other weights"
    print(record.told() if not audit.where else f"the reward in {audit.place}: {record.told()}")
    if record.env is None or record.env == world:
        return None
    print(f"  that says nothing about {world}: robo-reward audit reward_model.path={audit.folder} does")
    return f"on {record.env}"


def _sources(model: Any, node: Any, left: int) -> Iterator[Source]:
    """Of a reward model's group."""
    from robo_reward.build import MODEL_YAML, model_folder, read_recipe

    if node.get("path") is None:
        yield from _within(model, node, left)
    elif left:
        folder = model_folder(node["path"])
        saved = read_recipe(folder / MODEL_YAML)
        recipe = changed(saved, changes_of(node))
        yield Source(folder, tuple(_within(model, recipe, left - 1)), altered=recipe != saved)


def _within(model: Any, node: Any, left: int) -> Iterator[Source]:
    """Of what a group or a recipe is made of."""
    told = getattr(model, "served_audits", None)
    if told is not None:
        yield Source(None, told=tuple(told))
        return
    members = getattr(model, "members", None)
    known: Mapping[str, Any] = members if isinstance(members, Mapping) else {}
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if not isinstance(value, Mapping):
            continue
        if key == "spawn":
            yield from _sources(None, value, left)
        elif key == "models":
            for name, child in value.items():
                if isinstance(child, Mapping):
                    for source in _sources(known.get(name), child, left):
                        member = name if source.member is None else f"{name}/{source.member}"
                        yield replace(source, member=member)
