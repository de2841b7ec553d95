"""Translations that several toolkits share: batch, schedule, warmup, tuning, trackers, precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mftkit.tools.spec_import.components import component, meaning_of, options_of, peft_fields
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.base.json_types import JsonObject
    from mftkit.tools.spec_import.config import Config

_FALLING = "half a cosine"
_AVERAGES = "averages"
_WITHOUT_BETAS = ("factored",)
_WITH_MINIMUM = ("cosine_with_min_lr", "cosine_warmup_with_min_lr")


def check_supervised(config: Config, key: str, accepted: tuple[str, ...]) -> None:
    """Raise MftError for a config of another kind of training; its key is accounted for."""
    refuse_other_training(config, key, accepted)
    config.translated(key, to="the format of the tasks")


def refuse_other_training(config: Config, key: str, accepted: tuple[str, ...] = ()) -> None:
    """Raise MftError for a config of another kind of training, such as preferences."""
    value = config.text(key)
    if value is not None and value not in accepted:
        names = f" (accepted: {', '.join(accepted)})" if accepted else ""
        raise MftError(
            f"{config.path}: {key}: {value}: only supervised fine-tuning can be imported{names}; a run here has no "
            "preferences, rewards or other objectives"
        )


def translate_batch(config: Config, per_device: str, accumulation: str, devices: int) -> None:
    """Translate the batch: rows per step over all devices."""
    rows, steps = config.count(per_device) or 1, config.count(accumulation) or 1
    total = rows * steps * devices
    config.put(
        "training.batch_size", total, f"{rows} per device x {steps} accumulation steps x {devices} devices"
    )
    config.put("training.micro_batch_size", rows)
    config.approximated(
        per_device,
        accumulation,
        to="training.batch_size, training.micro_batch_size",
        why=f"the effective batch is {rows} x {steps} x {devices} devices = {total} rows per optimizer step, whatever "
        "the number of devices here",
    )


def translate_length(config: Config, epochs: str, steps: str) -> None:
    """Translate the length of the training."""
    if (count := config.count(steps)) is not None:
        config.put("training.max_steps", count)
        config.translated(steps, to="training.max_steps")
        config.translated(epochs, to=f"nothing: {steps} overrides it, as in {config.toolkit}")
        return
    config.translated(steps, to="not set: the number of epochs decides")
    if (number := config.number(epochs)) is not None and number > 0:
        config.put("training.epochs", int(number) if number == int(number) else number)
        config.translated(epochs, to="training.epochs")


def translate_rate(config: Config, rate: str, minimum: str | None = None) -> float | None:
    """Translate the peak learning rate, and the lowest one; returns the peak."""
    value = config.number(rate)
    if value:
        config.put("training.learning_rate", value)
        config.translated(rate, to="training.learning_rate")
    lowest = config.number(minimum) if minimum else None
    if minimum and lowest is not None and value and lowest <= value:
        config.put("training.min_learning_rate", lowest)
        config.translated(minimum, to="training.min_learning_rate")
    return value


def translate_schedule(
    config: Config, key: str, arguments: str | None = None, rate: float | None = None
) -> None:
    """Translate the schedule of the learning rate; one that does not exist here falls along half a cosine."""
    name = config.text(key)
    if name is None:
        return
    settings = config.value(arguments) if arguments else None
    settings = settings if isinstance(settings, dict) else {}
    least, share = settings.get("min_lr"), settings.get("min_lr_rate")
    meaning = meaning_of("schedule", name)
    others = [arguments] if arguments else []
    if name in _WITH_MINIMUM and rate:
        lowest = float(least) if least is not None else rate * float(share or 0)
        config.put("training.scheduler", component(_FALLING))
        config.put("training.min_learning_rate", float(f"{lowest:.10g}"))
        config.translated(key, *others, to="training.scheduler, min_learning_rate")
    elif isinstance(steps := settings.get("num_decay_steps"), int) and meaning is not None:
        config.put("training.scheduler", {"name": component(meaning), "options": {"decay": steps}})
        why = "the shape of the decay is that of training.scheduler.options.shape"
        config.approximated(key, *others, to="training.scheduler", why=why)
    elif meaning is not None:
        config.put("training.scheduler", component(meaning))
        config.translated(key, to="training.scheduler")
    else:
        falling = component(_FALLING)
        config.put("training.scheduler", falling)
        why = f"there is no schedule {name!r} here"
        config.approximated(key, to=f'training.scheduler "{falling}"', why=why)


def translate_optimizer(config: Config, key: str, keys: AdamKeys) -> None:
    """Translate the optimizer and its betas; one that does not exist here becomes the default."""
    name = config.text(key)
    meaning = meaning_of("optimizer", name) if name else _AVERAGES
    known = meaning or _AVERAGES
    options = options_of(known)
    first, second, eps = (config.number(each) for each in (keys.first, keys.second, keys.eps))
    if known in _WITHOUT_BETAS:
        config.without_meaning(
            keys.first, keys.second, keys.eps, why="this optimizer has no such options here"
        )
    else:
        if first is not None or second is not None:
            options["betas"] = [0.9 if first is None else first, 0.999 if second is None else second]
        if eps:
            options["eps"] = eps
        config.translated(keys.first, keys.second, keys.eps, to="training.optimizer.options")
    if name or options:
        chosen = component(known)
        config.put("training.optimizer", {"name": chosen, "options": options} if options else chosen)
    if meaning is not None:
        config.translated(key, to="training.optimizer")
    else:
        config.approximated(key, to="training.optimizer", why=f"there is no optimizer {name!r} here")


def translate_warmup(config: Config, steps: str, ratio: str | None = None) -> None:
    """Translate the warmup: a number of steps, or a share of all steps if below 1."""
    number, share = config.number(steps), config.number(ratio) if ratio else None
    if number:
        config.put("training.warmup", int(number) if number >= 1 else number)
        config.translated(steps, to="training.warmup")
        if ratio:
            config.translated(ratio, to=f"nothing: {steps} overrides it")
        return
    config.put("training.warmup", share or 0)
    config.translated(steps, *([ratio] if ratio else []), to="training.warmup")


def translate_every(
    config: Config, key: str, steps: str, strategy: str | None, per_epoch: str | None = None
) -> None:
    """Translate how often something happens: ``training.evaluate_every`` and ``checkpoint_every``."""
    path = f"training.{key}"
    how = config.text(strategy) if strategy else None
    times = config.number(per_epoch) if per_epoch else None
    count, number = config.count(steps), config.number(steps)
    extra = [name for name in (strategy, per_epoch) if name]
    if how == "no":
        config.approximated(*extra, steps, to=path, why="it cannot be turned off; the default is used")
    elif times:
        config.put(path, "epoch")
        why = "once per epoch, not more often" if times > 1 else "once per epoch"
        config.approximated(
            *extra, steps, to=f'{path} "epoch"', why=f"{times:g} times per epoch became {why}"
        )
    elif how == "epoch" or (count is None and number is None):
        config.put(path, "epoch")
        config.translated(*extra, steps, to=path)
    elif count is not None:
        config.put(path, count)
        config.translated(*extra, steps, to=path)
    else:
        config.put(path, "epoch")
        config.approximated(
            *extra, steps, to=f'{path} "epoch"', why="a share of all steps cannot be given here"
        )


@dataclass(frozen=True)
class AdamKeys:
    """The keys of a toolkit for the options of Adam."""

    first: str = "adam_beta1"
    second: str = "adam_beta2"
    eps: str = "adam_epsilon"


@dataclass(frozen=True)
class AdapterKeys:
    """The keys of a toolkit for adapters."""

    rank: str
    alpha: str
    dropout: str
    targets: str
    peft: dict[str, str]
    """Key to the field of peft's config that it is."""


def translate_tuning(
    config: Config, meaning: str, keys: AdapterKeys, all_linear: tuple[str, ...] = ()
) -> None:
    """Translate what is trained.

    Args:
        config: the config.
        meaning: what the tuning does, see ``components``.
        keys: the toolkit's keys for adapters.
        all_linear: its words for all linear modules.
    """
    names = (keys.rank, keys.alpha, keys.dropout, keys.targets, *keys.peft)
    if meaning == "all parameters":
        config.put("tuning", component(meaning))
        config.without_meaning(*names, why="there is no adapter: every parameter is trained")
        return
    tuning: JsonObject = {"method": component(meaning)}
    rank, alpha, dropout = config.count(keys.rank), config.number(keys.alpha), config.number(keys.dropout)
    for option, value, key in (
        ("rank", rank, keys.rank),
        ("alpha", alpha, keys.alpha),
        ("dropout", dropout, keys.dropout),
    ):
        if value is not None:
            tuning[option] = int(value) if value == int(value) else value
            config.translated(key, to=f"tuning.{option}")
    targets = _words(config.value(keys.targets))
    if targets:
        linear = len(targets) == 1 and targets[0] in all_linear
        tuning["targets"] = "all-linear" if linear else targets
        config.translated(keys.targets, to="tuning.targets")
    fields = {}
    for key, name in keys.peft.items():
        field = config.value(key)
        if field is None or field is False or field == []:
            config.translated(key, to="not set")
            continue
        fields[name] = _words(field) if name == "modules_to_save" else field
        config.translated(key, to=f"tuning.{peft_fields()}.{name}")
    if fields:
        tuning[peft_fields()] = fields
    config.spec.content["tuning"] = tuning


def translate_trackers(config: Config, key: str) -> None:
    """Translate a list of trackers' names."""
    value = config.value(key)
    names = _words(value)
    known = [(name, meaning_of("report_to", name)) for name in names]
    found = [component(meaning) for _name, meaning in known if meaning]
    other = [name for name, meaning in known if meaning is None and name not in ("none", "all")]
    if found:
        config.spec.content["trackers"] = [*config.spec.content.get("trackers", []), *found]
    if other:
        config.approximated(key, to="trackers", why=f"no tracker here stands for {', '.join(other)}")
    elif "all" in names:
        config.approximated(key, to="trackers", why='"all" depends on what is installed; name the trackers')
    else:
        config.translated(key, to="trackers" if found else "no trackers")


def translate_precision(config: Config, bf16: str, fp16: str) -> None:
    """Translate the precision of the arithmetic; weights that are trained are always in float32 here."""
    if config.flag(fp16):
        config.put("model.dtype", "auto")
        config.approximated(
            fp16, to='model.dtype "auto"', why="there is no float16; bfloat16 where the device has it"
        )
    elif config.value(bf16) is not None and config.text(bf16) != "auto":
        config.put("model.dtype", "bfloat16" if config.flag(bf16) else "auto")
    config.translated(bf16, fp16, to="model.dtype")


def translate_kernels(config: Config, *kernels: str) -> None:
    """Translate compiled layers, and ``kernels``: the toolkit's keys for kernels of the package liger-kernel."""
    compiled = config.flag("torch_compile") or config.text("torch_compile") == "auto"
    if compiled:
        config.put("training.compile", True)
    config.translated("torch_compile", to="training.compile")
    used = [key for key in kernels if config.flag(key)]
    if used:
        config.put("training.fused_kernels", True)
        why = "norms, rotary positions and SwiGLU, on CUDA only; output head and loss are computed in chunks anyway"
        config.approximated(*used, to="training.fused_kernels", why=why)
    config.translated(*kernels, to="training.fused_kernels")


def translate_attention(config: Config, key: str, names: dict[str, str]) -> None:
    """Translate the implementation of attention."""
    name = config.text(key)
    if name is None:
        return
    if name in names:
        config.put("model.attention", names[name])
        config.translated(key, to="model.attention")
    else:
        config.approximated(
            key, to='model.attention "auto"', why=f"{name!r} is chosen automatically or not available"
        )


def _words(value: object) -> list[str]:
    """Return the elements of a list, which may also be a text with commas."""
    if value is None or value is False:
        return []
    parts = value if isinstance(value, list) else str(value).split(",")
    return [str(part).strip() for part in parts if str(part).strip()]
