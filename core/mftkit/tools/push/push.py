"""Pushes a result to the Hugging Face Hub."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import CommitOperationAdd, HfApi, constants, get_token
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # exported lazily

from mftkit.reporting.reporter import Reporter
from mftkit.runs.reference import find_weights
from mftkit.tools.merge import merge
from mftkit.tools.model_card.base import hub_id_of
from mftkit.tools.model_card.card import FILE
from mftkit.tools.push.cards import card_to_push
from mftkit.tools.push.errors import hub_errors
from mftkit.tools.push.files import files_to_push, public_config
from mftkit_registry import MftError

if TYPE_CHECKING:
    from mftkit.models.result import Result


@dataclass(frozen=True)
class _Request:
    """What was asked for, besides the result."""

    repo: str
    private: bool
    license: str | None
    revision: str | None
    message: str


@dataclass(frozen=True)
class Pushed:
    """What was pushed."""

    repo: str
    """Its id on the hub, with the namespace."""
    url: str
    """Of the commit."""
    files: list[str]


def push(
    run: str | Path,
    repo: str,
    *,
    private: bool = False,
    license: str | None = None,  # noqa: A002 (the name of the hub's own field)
    revision: str | None = None,
    message: str | None = None,
    merged: bool = False,
    reporter: Reporter | None = None,
) -> Pushed:
    """Push the result of a run, or a directory with a model or an adapter, in one commit.

    The token comes from HF_TOKEN or from ``hf auth login``, the hub's address from HF_ENDPOINT.

    Args:
        run: a run directory, RUN@best:TASK, or a directory with a model or a PEFT adapter.
        repo: "user/name" or "organization/name"; it is created if it does not exist.
        private: whether a new repository is private.
        license: the license that the card names, as the hub knows it, such as "apache-2.0"; None: as in the card.
        revision: the branch to push to, created if it does not exist; None: the main one.
        message: of the commit.
        merged: merge an adapter into its base first, and push the whole model.
        reporter: receives messages.

    Raises:
        MftError: there is nothing to push, others could not load it, or the hub refuses it.
    """
    reporter = reporter or Reporter()
    endpoint = os.environ.get("HF_ENDPOINT") or constants.ENDPOINT
    with hub_errors(repo, endpoint):
        validate_repo_id(repo)
    source = _result(run)
    if source.config is None and merged:
        raise MftError(f"--merged: {source.path} is already a whole model; leave the option out.")
    if source.config is not None and not merged:
        _check_base(source)
    token = get_token()
    if token is None:
        raise MftError(
            "push: there is no token. Set HF_TOKEN to one with write access, or run hf auth login."
        )
    api = HfApi(endpoint=endpoint, token=token, library_name="mftkit")
    request = _Request(repo, private, license, revision, message or "Upload with mftkit")
    if not merged:
        return _push(api, source, source.path, request, reporter)
    with tempfile.TemporaryDirectory() as directory:
        place = merge(source.path, Path(directory) / "merged", reporter).path
        return _push(api, source, place, request, reporter)


def _result(run: str | Path) -> Result:
    """The directory of the result that a reference stands for."""
    weights = find_weights(run)
    if weights.is_checkpoint and weights.run is not None:
        whole = find_weights(weights.run)
        if whole.result is not None and whole.in_checkpoint == weights.step:
            return whole.result  # the same weights, as others can load them
    if weights.result is None:
        where = (
            "on the hub already"
            if weights.hub_id
            else "in a checkpoint, which is no model that others can load"
        )
        raise MftError(
            f"RUN: {run} is {where}. Push a result: the directory of a finished run, RUN@best:TASK, or what "
            "mft merge RUN@STEP --output DIR writes of an adapter."
        )
    return weights.result


def _check_base(source: Result) -> None:
    """Refuse an adapter whose base is on this disk alone."""
    base = source.base
    if hub_id_of(base) is None:
        what = (
            "the run's own base" if source.run and base == str(source.run / "base") else "a local checkpoint"
        )
        raise MftError(
            f"RUN: the base of this adapter is {what}, {base}, so nobody else could load the adapter. Push the merged "
            "model with --merged (or look at it first: mft merge RUN --output DIR, then push DIR); or push the base, "
            f"and set base_model_name_or_path in {source.path / 'adapter_config.json'} to its id on the hub."
        )


def _push(api: HfApi, source: Result, place: Path, request: _Request, reporter: Reporter) -> Pushed:
    """Push the files in ``place``, which are those of the result or its merged model."""
    is_adapter = source.config is not None and place == source.path
    base = hub_id_of(source.base) if is_adapter else None
    files = files_to_push(place, reporter)
    contents = {file.name: public_config(file, base) or file for file in files}
    with hub_errors(request.repo, api.endpoint):
        created = api.create_repo(request.repo, private=request.private or None, exist_ok=True)
        repo_id = created.repo_id
        contents[FILE] = card_to_push(source, place, repo_id, request.license, base, reporter).encode()
        if request.revision not in (None, constants.DEFAULT_REVISION):
            api.create_branch(repo_id, branch=request.revision, exist_ok=True)
        reporter.note(f"pushing {len(contents)} files to {created}")
        commit = api.create_commit(
            repo_id,
            operations=[
                CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                for name, content in contents.items()
            ],
            commit_message=request.message,
            revision=request.revision,
        )
    return Pushed(repo_id, str(commit.commit_url), sorted(contents))
