"""Errors of the hub and of the way to it, as one message each."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

from mftkit_registry import MftError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HTTP_LIBRARIES = ("httpx", "httpx2", "httpcore", "requests", "urllib3")
"""Those that the versions of huggingface_hub use."""


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
        raise MftError(f"REPO: {repo} is no name of a repository: {_line(error)}") from error
    except HfHubHTTPError as error:
        raise MftError(_describe(error, repo, endpoint)) from error
    except ValueError as error:  # the metadata of the card, which the hub checks first
        raise MftError(f"push: the files cannot be pushed to {repo}: {_line(error)}") from error
    except Exception as error:
        if not (isinstance(error, ConnectionError | TimeoutError) or _is_of_http(error)):
            raise
        raise MftError(
            f"push: {endpoint} cannot be reached ({type(error).__name__}: {_line(error)}). Check the network; the same "
            "command pushes again."
        ) from error


def _describe(error: HfHubHTTPError, repo: str, endpoint: str) -> str:
    status = error.response.status_code if error.response is not None else None
    answer = error.server_message or _line(error)
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


def _is_of_http(error: Exception) -> bool:
    return type(error).__module__.partition(".")[0] in _HTTP_LIBRARIES


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
