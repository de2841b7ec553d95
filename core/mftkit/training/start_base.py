"""Whether the base of ``model.start_from`` is the model that the rest of the spec's ``model`` section names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mftkit.models.config import read_config
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.reporting.reporter import Reporter
    from mftkit.runs.reference_loading import Source
    from mftkit.spec.model import ModelSpec

NO_ARCHITECTURE = frozenset(
    {
        "_name_or_path", "architectures", "attn_implementation", "bos_token_id", "dtype",
        "eos_token_id", "id2label", "label2id", "pad_token_id", "torch_dtype",
        "transformers_version", "use_cache", "vocab_size", "initializer_range",
    }
)  # fmt: skip
"""Keys of config.json that may differ between a model and one that was trained from it. A run may add a row to the
embedding, for a pad token."""


def check_same_base(model: ModelSpec, source: Source, reporter: Reporter) -> None:
    """Refuse a ``model.path`` or ``model.config`` of another model than the weights to start from.

    Reports which keys are replaced by those of the reference.
    """
    config = source.config()
    if model.init == "random":
        given, where = dict(model.config or {}), "model.config"
        reporter.note(
            "model.init, model.config and model.tokenizer: those of model.start_from are used instead"
        )
    elif model.path is not None and model.path not in (source.request.path, source.place):
        given = read_config(model.path, model.trust_remote_code, revision=model.revision)
        where = f"model.path: {model.path}"
    else:
        return
    different = sorted(
        key for key in given if key not in NO_ARCHITECTURE and key in config and given[key] != config[key]
    )
    rows, before = config.get("vocab_size"), given.get("vocab_size")
    if isinstance(rows, int) and isinstance(before, int) and rows not in (before, before + 1):
        different.append("vocab_size")
    if different:
        listed = ", ".join(f"{key} {_brief(given[key])} and {_brief(config[key])}" for key in different[:4])
        raise MftError(
            f"{where} is another model than that of model.start_from ({source.place}): they differ in {listed}. Leave "
            "it out: the reference gives the model"
        )


def _brief(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
