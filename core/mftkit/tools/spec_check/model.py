"""Checks the checkpoint of a spec without reading weights: config, adapter, weight files, tokenizer, chat template."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from mftkit.base.json_files import read_json_object
from mftkit.base.tokenizer_files import VOCABULARY_FILES, check_tokenizer_files
from mftkit.data.task_formats import uses_chat
from mftkit.interfaces.model import VARLEN, ModelAdapter
from mftkit.models.config import ADAPTER_CONFIG, check_sizes, is_hub_id
from mftkit.models.loading import check_code
from mftkit.models.selection import FALLBACK, select_adapter
from mftkit.models.stray_adapter import is_adapter
from mftkit.runs.reference import find_weights
from mftkit.tools.spec_check.weight_files import missing_weights
from mftkit_registry import MftError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from mftkit.base.json_types import JsonObject
    from mftkit.spec import Spec
    from mftkit.spec.positions import Location
    from mftkit.tools.spec_check.findings import Findings

PATH: Location = ("model", "path")
TOKENIZER: Location = ("model", "tokenizer")
ALWAYS_THERE = ("auto", "eager", "sdpa", VARLEN)
"""Implementations of attention that need no package and no device."""


def check_model(spec: Spec, findings: Findings) -> None:
    """Check ``model`` and, where conversations need it, the chat template."""
    if spec.model.attention not in ALWAYS_THERE:
        findings.unchecked(
            ("model", "attention"), f"whether {spec.model.attention} can be used on this machine"
        )
    if spec.model.start_from is not None:
        _check_start(spec.model.start_from, findings)
        return
    adapter: ModelAdapter | None
    config, directory = _config(spec, findings)
    adapter = None if config is None else _adapter(spec, config, findings)
    if directory is not None and config is not None:
        _check_weights(directory, findings)
    given = spec.model.tokenizer
    if not isinstance(given, str | None):
        return  # a tokenizer is trained
    source = _local(given, TOKENIZER, "tokenizer", findings) if given is not None else directory
    if source is not None:
        own_format = _reads_its_own(adapter, config) if given is None else _is_converted(source)
        _check_tokenizer(spec, source, adapter, findings, own_format=own_format)


def _reads_its_own(adapter: ModelAdapter | None, config: JsonObject | None) -> bool:
    """Whether the files of a tokenizer may be others than those of transformers."""
    if adapter is None or type(adapter).load_tokenizer is not ModelAdapter.load_tokenizer:
        return True
    return config is not None and adapter.converts(config)


def _is_converted(directory: Path) -> bool:
    """Whether a tokenizer lies beside a checkpoint whose adapter converts it."""
    try:
        config = read_json_object(directory / "config.json")
        _, adapter = select_adapter(config) if config.get("model_type") else ("", None)
    except (OSError, ValueError, MftError):
        return False
    return adapter is not None and _reads_its_own(adapter, config)


def _check_start(reference: str, findings: Findings) -> None:
    """Check that there are weights to start from; the model and the tokenizer are theirs."""
    at: Location = ("model", "start_from")
    try:
        weights = find_weights(reference, "model.start_from")
    except MftError as error:
        findings.error(at, str(error).removeprefix("model.start_from: "))
        return
    findings.unchecked(at, f"whether {weights} fits the tuning and the rest of model")


def _config(spec: Spec, findings: Findings) -> tuple[JsonObject | None, Path | None]:
    """The config of the model, and the directory of a checkpoint; None for what cannot be read here."""
    if spec.model.init == "random":
        _check_sizes(spec.model.config or {}, ("model", "config"), findings)
        findings.unchecked(("model", "config"), "the keys of a model that begins at random")
        return dict(spec.model.config or {}), None
    assert spec.model.path is not None, "a spec of a pretrained model has a path"
    directory = _local(spec.model.path, PATH, "checkpoint", findings)
    if directory is None:
        return None, None
    file = directory / "config.json"
    try:
        config = read_json_object(file)
    except FileNotFoundError:
        if (directory / ADAPTER_CONFIG).is_file():
            what = f"{directory} holds a PEFT adapter, not a model: merge it into its base first (mft merge)"
        else:
            what = f"{directory} has no config.json, so it is not a transformers checkpoint"
        findings.error(PATH, what)
    except (OSError, ValueError) as error:
        findings.error(PATH, f"{file} cannot be read: {error}")
    else:
        _check_sizes(config, PATH, findings)
        if config:
            return config, directory
        findings.error(PATH, f"{file} is empty")
    return None, None


def _check_sizes(config: JsonObject, at: Location, findings: Findings) -> None:
    try:
        check_sizes(config, "")
    except MftError as error:
        findings.error(at, str(error))


def _local(path: str, at: Location, what: str, findings: Findings) -> Path | None:
    """The local directory of a path or of a hub id that is in the cache; None if there is none, which is reported."""
    directory = Path(path).expanduser()
    if directory.is_dir():
        return directory
    if directory.exists():
        findings.error(at, f"{path} is a file; give the directory of the {what}")
    elif not is_hub_id(path):
        findings.error(at, f"there is no directory {path}")
    else:
        findings.unchecked(at, f"the {what} {path} on the hub")
    return None


def _adapter(spec: Spec, config: JsonObject, findings: Findings) -> ModelAdapter | None:
    ref = spec.model.adapter
    try:
        _, adapter = select_adapter(config, ref.name, ref.options)
        if spec.model.init == "pretrained" and adapter.matches(config) == FALLBACK:
            check_code(spec.model.path, config, spec.model.trust_remote_code)
    except MftError as error:
        findings.error(("model", "adapter"), str(error))
        return None
    return adapter


def _check_weights(directory: Path, findings: Findings) -> None:
    if is_adapter(directory):
        findings.error(PATH, f"{directory} holds a PEFT adapter and no weights: give a whole model")
        return
    if problem := missing_weights(directory):
        findings.error(PATH, problem)


def _check_tokenizer(
    spec: Spec, directory: Path, adapter: ModelAdapter | None, findings: Findings, *, own_format: bool
) -> None:
    """Check that there is a vocabulary, and that a fast tokenizer of it can be read.

    ``own_format``: its adapter reads it in its own way.
    """
    if own_format:
        findings.unchecked(TOKENIZER, f"the tokenizer of {directory}, which its adapter converts")
        return
    if not any((directory / name).is_file() for name in VOCABULARY_FILES):
        hint = "Set model.tokenizer to a path or hub id that has them."
        findings.error(TOKENIZER, f"no tokenizer files in {directory}. {hint}")
        return
    try:
        check_tokenizer_files(str(directory))
    except MftError as error:
        findings.error(TOKENIZER, str(error))
        return
    added: dict[int, SimpleNamespace] = {}
    file = directory / "tokenizer.json"
    if file.is_file():
        try:
            added = _added_tokens(file)
        except Exception as error:  # the tokenizers library raises bare Exceptions on a broken file
            findings.error(TOKENIZER, f"{file} cannot be read: {str(error).splitlines()[0]}")
            return
    settings: JsonObject = {}
    try:
        settings = read_json_object(directory / "tokenizer_config.json")
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        findings.error(TOKENIZER, f"{directory / 'tokenizer_config.json'} cannot be read: {error}")
        return
    _check_template(spec, directory, settings, added, adapter, findings)


def _added_tokens(file: Path) -> dict[int, SimpleNamespace]:
    from tokenizers import Tokenizer

    decoder = Tokenizer.from_file(str(file)).get_added_tokens_decoder()
    return {number: SimpleNamespace(content=token.content) for number, token in decoder.items()}


def _check_template(
    spec: Spec,
    directory: Path,
    settings: JsonObject,
    added: dict[int, SimpleNamespace],
    adapter: ModelAdapter | None,
    findings: Findings,
) -> None:
    """Check that there is a chat template where ``chat.format`` asks for one."""
    if spec.chat.format != "template" or not any(uses_chat(task) for task in spec.tasks):
        return
    files = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
    own = settings.get("chat_template") or any((directory / name).exists() for name in files)
    if own:
        return
    tokenizer = SimpleNamespace(chat_template=None, added_tokens_decoder=added)
    try:
        family = (
            None if adapter is None else adapter.chat_template(cast("PreTrainedTokenizerBase", tokenizer))
        )
    except Exception:  # of an adapter that looks at more of a tokenizer than is known here
        findings.unchecked(("chat", "format"), f"whether {directory} has a chat template")
        return
    if not family:
        findings.error(("chat", "format"), 'the tokenizer has no chat template; set "auto" or "markers"')
