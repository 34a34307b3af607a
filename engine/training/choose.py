"""From the options of `train` to a `Launch`: which configuration, checked with its data before anything is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from configs.errors import UsageError
from configs.load import demo_dir, find, load, locate
from configs.schema import Config
from engine.plan.profile import apply_profile
from engine.training.decide import decide
from engine.training.launch import Launch
from engine.training.output import DEMO_OUTPUT
from engine.training.resuming import refuse_another_base, run_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The options as typed."""

    config: Path | None = None
    dataset: Path | None = None
    validation: Path | None = None
    base_model: str | None = None
    chat_template: Path | None = None
    output_dir: Path | None = None
    resume: str | None = None
    hours: float | None = None
    deadline: str | None = None
    manual: bool = False
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """The configuration that the options mean."""

    config: Config
    demo: bool
    """Whether it is the built-in demo's."""
    said: tuple[str, ...]
    """Sentences for the person: which was taken, and what a profile would have changed."""


def choose(choice: Choice) -> Launch:
    """Settle everything a start needs. Raises a `UserError` for whatever is wrong with it, having made nothing."""
    launch = launch_of(choice, settle(choice))
    check_inputs(launch)
    return launch


def launch_of(choice: Choice, settled: Settled) -> Launch:
    """Which run this start begins or goes on with. Raises a `UserError`, or `AlreadyFinished`."""
    config, resume = settled.config, choice.resume
    run = Path(config.training.output_dir) if resume is None or resume == "auto" else run_of(resume)
    return decide(
        config,
        run,
        demo=settled.demo and choice.output_dir is None,
        resume=resume,
        hours=choice.hours,
        deadline=choice.deadline,
        manual=choice.manual,
        said=settled.said,
    )


def settle(choice: Choice) -> Settled:
    """The configuration alone, with its profile applied. Raises a `UserError`."""
    directory, demo, which = _directory(choice)
    if choice.hours is not None and choice.deadline is not None:
        raise UsageError("--hours and --deadline both set the window: give one of them.")
    output = choice.output_dir or (Path(DEMO_OUTPUT) if demo else None)
    overrides = list(choice.overrides)
    if choice.validation is not None:
        overrides.append(f"training.validation_dataset={choice.validation}")
    elif choice.dataset is not None:
        # The validation file of a preset belongs to the preset's data, so another dataset holds out a part of its own.
        overrides.append("training.validation_dataset=null")
    config = load(
        directory,
        overrides=overrides,
        base_model=choice.base_model,
        dataset=None if choice.dataset is None else str(choice.dataset),
        chat_template=None if choice.chat_template is None else str(choice.chat_template),
        output_dir=None if output is None else str(output),
        hours=choice.hours,
    )
    if not choice.manual:
        config, kept = apply_profile(config)
    else:
        kept = ()
    said = (*(() if which is None else (which,)), *(() if demo else kept))
    return Settled(config=config, demo=demo, said=said)


def _directory(choice: Choice) -> tuple[Path, bool, str | None]:
    """Configuration folder, whether it is the built-in demo, and the sentence that says which was taken."""
    if choice.config is not None:
        directory = locate(str(choice.config))
        return directory, directory == demo_dir(), None
    here = find(Path.cwd())
    if here is not None:
        return here, False, "Training with ./training_config.json."
    return (
        demo_dir(),
        True,
        "There is no ./training_config.json here, so this is the built-in demo (`run.py init` writes one).",
    )


def check_inputs(launch: Launch) -> None:
    """Look at the base model and read the whole dataset once, so that a bad one is refused before anything is made."""
    from engine.data.desk import progress_line
    from engine.data.early import check_sources
    from engine.model.folder import require_chat_template
    from engine.model.resolve import resolve
    from engine.model.trial import try_chat_template

    training = launch.config.training
    template = None if training.chat_template is None else Path(training.chat_template)
    base = resolve(training.base_model)
    if isinstance(base, Path):
        require_chat_template(base, template)
        if launch.resume is not None:
            refuse_another_base(launch.directory, base)
    try_chat_template(base if isinstance(base, Path) else None, template)
    check_sources(launch.config, progress_line())
