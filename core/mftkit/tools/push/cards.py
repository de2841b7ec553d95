"""The model card that goes to the hub: the result's own, with what is known only now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import CardData, ModelCard, ModelCardData

from mftkit.base.tokenizer_files import load_tokenizer
from mftkit.models.example_prompt import example_prompt
from mftkit.runs.record import read_run
from mftkit.runs.result_files import has_chat_template
from mftkit.tools.model_card.base import UNKNOWN
from mftkit.tools.model_card.card import FILE, LICENSE_HINT, CardSource, fenced, model_card, step_of
from mftkit.tools.model_card.snippets import loading_code, with_place
from mftkit_registry import MftError

if TYPE_CHECKING:
    from pathlib import Path

    from mftkit.models.result import Result
    from mftkit.reporting.reporter import Reporter


def card_to_push(
    source: Result, place: Path, repo: str, license_name: str | None, base: str | None, reporter: Reporter
) -> str:
    """The card of the files in ``place``.

    Args:
        source: the result; ``place`` is another directory if it was merged.
        place: the directory that is pushed.
        repo: its id on the hub.
        license_name: the license that the user gave.
        base: id of an adapter's base on the hub; None for a whole model.
        reporter: receives messages.
    """
    card = _card(source, place)
    data: CardData = card.data
    if base is not None and not data.get("base_model"):
        data["base_model"] = base
    text = card.text
    if license_name is not None:
        data["license"] = license_name
        text = text.replace(LICENSE_HINT, f"{license_name}.")
    card.text = with_place(text, repo)
    if data.get("license") in (None, UNKNOWN):
        reporter.warn("the card names no license: pass --license, or fill it in on the hub")
    return str(card)


def _card(source: Result, place: Path) -> ModelCard:
    own = place / FILE
    if own.is_file():
        try:
            return ModelCard(own.read_text(encoding="utf-8"), ignore_metadata_errors=True)
        except ValueError as error:
            cause = " ".join(str(error).split())
            raise MftError(f"RUN: {own} cannot be read: {cause}. Correct or remove it.") from error
    if source.run is not None:
        run = read_run(source.run)
        prompt = example_prompt(load_tokenizer(str(place)))
        return model_card(CardSource(run, place, step_of(place, run), prompt))
    is_adapter = place == source.path and source.config is not None
    metadata = ModelCardData(
        license=UNKNOWN,
        library_name="peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["mftkit"],
    )
    code = loading_code(is_adapter=is_adapter, chats=has_chat_template(place), trust_remote_code=False)
    parts = (f"# {place.name}", f"## Use\n\n{fenced(code, 'python')}", f"## License\n\n{LICENSE_HINT}\n")
    return ModelCard(f"---\n{metadata.to_yaml()}\n---\n\n" + "\n\n".join(parts))
