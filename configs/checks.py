"""Rules that tie several values together, and advice about values that are allowed but seldom meant."""

from __future__ import annotations

from pathlib import Path

from configs.schema import DEFAULT, Config
from configs.validate import refuse


def check(config: Config) -> None:
    """Raise one `ConfigError` naming every broken rule and where its values were stated."""
    refuse([*_experts(config), *_lengths(config), *_reserve(config)])


def advice(config: Config) -> tuple[str, ...]:
    """What a careful colleague would mention before the run: one sentence each, nothing that must be obeyed."""
    training, said = config.training, []
    for key in ("dataset", "validation_dataset", "chat_template"):
        path = getattr(training, key)
        if path is not None and not Path(path).is_file():
            said.append(f"{_at(config, f'training.{key}')}: there is no file {path} yet.")
    if training.peak_router_learning_rate > training.learning_rate:
        said.append(
            f"{_at(config, 'training.router_learning_rate')}: routers that learn faster than the adapters drift out of "
            "balance; a tenth of learning_rate is usual."
        )
    if config.wandb.mode == "online" and config.wandb.entity == "your-wandb-username":
        said.append(f"{_at(config, 'wandb.entity')}: this is a placeholder; put your W&B user or team, or null.")
    if not config.safety.enable_time_constraints and config.is_stated("safety.reserve_minutes"):
        said.append(f"{_at(config, 'safety.reserve_minutes')}: without effect while enable_time_constraints is false.")
    return tuple(said)


def _experts(config: Config) -> list[str]:
    moe, found = config.moe, []
    if moe.adapter_mode == "moe" and moe.num_experts < 2:
        found.append(
            f"{_at(config, 'moe.num_experts')}: num_experts is {moe.num_experts}; a mixture needs at least 2. "
            'Set adapter_mode to "lora" for one plain adapter.'
        )
    if moe.top_k > moe.num_experts:
        found.append(
            f"{_at(config, 'moe.top_k', 'moe.num_experts')}: top_k is {moe.top_k} and num_experts {moe.num_experts}; "
            "a token cannot use more experts than there are. Lower top_k or raise num_experts."
        )
    if moe.lora_dropout != 0:
        found.append(
            f"{_at(config, 'moe.lora_dropout')}: lora_dropout must be 0, not {moe.lora_dropout:g}. Dropout would "
            "keep a mask for every activation, and a resumed run could not repeat the steps that were lost. "
            "Against overfitting use fewer epochs, more weight_decay or early stopping."
        )
    if moe.domains is not None and len(set(moe.domains)) < len(moe.domains):
        twice = next(name for index, name in enumerate(moe.domains) if name in moe.domains[:index])
        found.append(f"{_at(config, 'moe.domains')}: the domain `{twice}` is listed twice. Keep one.")
    if moe.domains is not None and moe.domain_source != "auto":
        found.append(
            f"{_at(config, 'moe.domain_source')}: domain_source is {moe.domain_source}, which leaves the data's own "
            "domains aside, and `domains` names some of them. Remove one of the two."
        )
    return found


def _lengths(config: Config) -> list[str]:
    training = config.training
    if training.max_length <= training.bin_tokens:
        return []
    return [
        f"{_at(config, 'training.max_length', 'training.bin_tokens')}: max_length is {training.max_length} and "
        f"bin_tokens is {training.bin_tokens}; an example must fit a bin. Raise bin_tokens or lower max_length."
    ]


def _reserve(config: Config) -> list[str]:
    reserve, window = config.safety.reserve_minutes, config.window_hours
    if reserve is None or window is None or reserve < window * 60:
        return []
    return [
        f"{_at(config, 'safety.reserve_minutes')}: reserve_minutes is {reserve:g} and the window "
        f"is {window * 60:g} minutes; no time is left to train. Lower reserve_minutes or give more hours."
    ]


def _at(config: Config, *keys: str) -> str:
    """Where the first of these keys was stated that was stated at all, else the first key's name."""
    for key in keys:
        if config.is_stated(key):
            return config.origin(key)
    return f"{keys[0]} ({DEFAULT})"
