"""What to tell someone whose model tracker cannot start: one message, ending with the exact next step.

Every function here returns or raises `TrackerUnavailable`; nothing is retried, downloaded or changed. Errors of
huggingface_hub are told apart by their own class names, so that this module imports no library at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib import metadata

from sam.errors import TrackerUnavailable

LOG_IN = "`hf auth login` (or `python -c 'from huggingface_hub import login; login()'`, or set HF_TOKEN)"
NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "socket", "ssl")
OTHERS = {
    "sam3": "tracker=sam3_hf runs without an NVIDIA GPU too, tracker=motion needs no model (fixed cameras)",
    "sam3_hf": "tracker=motion needs no model (fixed cameras)",
    "sam3_tracker": "tracker=motion needs no model (fixed cameras)",
    "sam2_auto": "tracker=motion needs no model (fixed cameras)",
    "grounded_sam2": "tracker=motion needs no model (fixed cameras)",
    "sam2": "tracker=motion needs no model (fixed cameras)",
}


def installed(tracker: str, package: str, extra: str) -> str:
    """The version of an installed package; raises TrackerUnavailable naming the extra that brings it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        raise missing(tracker, package, extra) from None


def missing(tracker: str, package: str, extra: str) -> TrackerUnavailable:
    return TrackerUnavailable(
        f"tracker={tracker} needs {package}, which is not installed: make setup EXTRAS={extra} "
        f"(or pip install '.[{extra}]'); {OTHERS[tracker]}"
    )


def explain(error: BaseException, repo: str, tracker: str) -> TrackerUnavailable:
    """Say what an error of huggingface_hub, or of the network below it, means for someone who wants `repo`."""
    chain = list(_chain(error))
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    status = next((s for each in chain if (s := _status(each))), 0)
    said = " ".join(_said(each) for each in chain)
    if "GatedRepoError" in names:
        text = _gated(repo, status, said)
    elif status == 401:
        text = _unauthorised(repo, said)
    elif status == 403:
        text = (
            f'the Hugging Face token of this machine may not read {repo}: give it the permission "Read access to '
            'contents of all public gated repos you can access" at https://huggingface.co/settings/tokens, or make a '
            f"token of type Read and log in with it: {LOG_IN}"
        )
    elif names & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
        text = f"Hugging Face has no {repo} that this machine may see: check the name in tracker.weights"
    elif names & {"EntryNotFoundError", "RemoteEntryNotFoundError"} and "LocalEntryNotFoundError" not in names:
        text = f"{repo} has no files that tracker={tracker} can load: check tracker.weights"
    elif names & {"HFValidationError"}:
        text = f"tracker.weights={repo} is neither a path that exists nor the name of a Hugging Face repository"
    elif any(isinstance(each, OSError) and each.errno in (28, 122) for each in chain):
        text = f"the disk is full where {repo} is kept ({_cache()}): free some space, or set HF_HOME to another disk"
    elif status >= 500 or status == 429:
        text = f"Hugging Face answered {status} when asked for {repo}; try again later"
    elif _is_network(chain, names):
        text = _offline(repo)
    else:
        text = f"{repo} could not be fetched: {str(error).strip().splitlines()[0] if str(error).strip() else error!r}"
    return unavailable(tracker, text)


def unavailable(tracker: str, text: str) -> TrackerUnavailable:
    """The message with what always helps: weights from disk, or another tracker."""
    return TrackerUnavailable(
        f"tracker={tracker}: {text}. With the weights on disk: tracker.weights=/path. Without them: {OTHERS[tracker]}"
    )


def _gated(repo: str, status: int, said: str) -> str:
    """Access to a gated repository is missing; the hub's own words tell refused, waiting and never asked apart."""
    page = f"https://huggingface.co/{repo}"
    words = said.lower()
    if "rejected" in words or "refused" in words or "denied" in words:
        return (
            f"the request of this account for {repo} was rejected, which is final for the account: use weights that "
            "someone with access shares with you, or another account"
        )
    if "awaiting" in words or "pending" in words:
        return f"the request of this account for {repo} is waiting for approval: look at {page} and run again then"
    if status == 403:
        return f"this account may not read {repo} yet: ask for access at {page} and run again once it is approved"
    return f"{repo} is gated and this machine is not logged in: ask for access at {page}, then run {LOG_IN}"


def _unauthorised(repo: str, said: str) -> str:
    if "invalid" in said.lower() or "expired" in said.lower():
        return (
            "Hugging Face does not accept the token of this machine (expired or mistyped): make one at "
            f"https://huggingface.co/settings/tokens, then run {LOG_IN}"
        )
    return (
        f"{repo} does not exist or needs a login: check the name in tracker.weights, ask for access at "
        f"https://huggingface.co/{repo}, then run {LOG_IN}"
    )


def _offline(repo: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        return f"{repo} is not completely in {_cache()} and HF_HUB_OFFLINE=1 forbids to fetch it: unset it once"
    return (
        f"{repo} is not completely in {_cache()} and Hugging Face cannot be reached, or the connection broke off: run "
        f"again when online (files that came whole are kept), or on a machine that is online run `hf download "
        f"{repo} --local-dir {repo.rpartition('/')[2]}-weights` and copy that folder here"
    )


def _cache() -> str:
    home = os.environ.get("HF_HOME", "~/.cache/huggingface")
    return os.environ.get("HF_HUB_CACHE", f"{home}/hub")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what caused it, outermost first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int:
    """The HTTP status an error carries; 0 if none."""
    return int(getattr(getattr(error, "response", None), "status_code", 0) or 0)


def _said(error: BaseException) -> str:
    """The words of the server and of the error."""
    return f"{getattr(error, 'server_message', '') or ''} {error}"


def _is_network(chain: list[BaseException], names: set[str]) -> bool:
    offline = {"LocalEntryNotFoundError", "OfflineModeIsEnabled", "IncompleteSnapshotError", "FileMetadataError"}
    if names & offline or any(isinstance(each, ConnectionError | TimeoutError) for each in chain):
        return True
    return any(
        type(each).__module__.partition(".")[0] in NETWORK or "Consistency check failed" in str(each) for each in chain
    )
