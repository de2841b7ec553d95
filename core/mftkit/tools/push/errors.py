"""Errors of the hub and of the way to it, as one message each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from mftkit.base.reasons import whole_reason
from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NETWORK = ("httpx", "httpx2", "httpcore", "requests", "urllib3", "hf_xet")
"""The libraries that the versions of huggingface_hub use."""


@contextmanager
def hub_errors(repo: str, endpoint: str) -> Iterator[None]:
    """Turn errors in talking to the hub into one MftError; others pass unchanged."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise MftError(
            "push: HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) is set, so nothing can be pushed; unset it."
        ) from error
    except HFValidationError as error:
        raise MftError(f"REPO: {repo} is no name of a repository: {whole_reason(error)}") from error
    except HfHubHTTPError as error:
        raise MftError(_describe(error, repo, endpoint)) from error
    except ValueError as error:  # the metadata of the card, which the hub checks first
        raise MftError(f"push: the files cannot be pushed to {repo}: {whole_reason(error)}") from error
    except Exception as error:
        described = _describe_chain(error, repo, endpoint)
        if described is None:
            raise
        raise MftError(described) from error


def _describe_chain(error: BaseException, repo: str, endpoint: str) -> str | None:
    """The error of the network behind an error, such as that of an upload; None if it is about something else."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HfHubHTTPError):
            return _describe(cause, repo, endpoint)
        if isinstance(cause, ConnectionError | TimeoutError) or _is_of_network(cause):
            return (
                f"push: {endpoint} cannot be reached ({type(cause).__name__}: {whole_reason(cause)}). Check the "
                "network; the same command pushes again."
            )
        cause = cause.__cause__
    return None


def _describe(error: HfHubHTTPError, repo: str, endpoint: str) -> str:
    status = error.response.status_code if error.response is not None else None
    answer = error.server_message or whole_reason(error)
    if status == 401:
        return (
            f"push: {endpoint} does not accept the token (401). Set HF_TOKEN to a valid one with write access, or run "
            "hf auth login."
        )
    if status == 403:
        return (
            f"push: the token may not write to {repo} (403: {answer}). Use a token with write access to this "
            "namespace, or another REPO."
        )
    if status == 404:
        return f"push: {repo} was not found at {endpoint} (404: {answer}). Check REPO and --revision."
    return f"push: {endpoint} refused it ({status}: {answer})."


def _is_of_network(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _NETWORK
