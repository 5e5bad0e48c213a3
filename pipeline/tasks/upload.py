"""task=upload: put an export on the Hugging Face Hub, as a dataset repository that is private unless said otherwise.

huggingface_hub does the work, and resumes: what arrived is not sent again by the next run. The token is the one that
`hf auth login` or HF_TOKEN gives; it is never a setting, so it is in no config, log or file of the dataset.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.checksums import described, verify
from pipeline.errors import ConfigError, DatasetError
from pipeline.layout import Layout
from pipeline.settings import Settings

log = logging.getLogger(__name__)

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that may write"
IGNORED = (".cache/**", "**/.DS_Store")
NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "socket", "ssl")


def upload(settings: Settings, layout: Layout) -> int:
    """Upload the export `hub.export`, or with `hub.dry=true` only say what would be; returns the exit status.

    Raises ConfigError for a repository, token or library that is not there, DatasetError for an export that is missing,
    not whole, or that the Hub does not take.
    """
    hub = settings.hub
    if not hub.repo:
        raise ConfigError("task=upload needs hub.repo=OWNER/NAME: the dataset repository, made if there is none")
    folder = layout.exports / hub.export
    if not folder.is_dir():
        raise DatasetError(
            f"there is no {folder}: write it first with task=export 'exports=[{hub.export}]', or change hub.export"
        )
    of_export = Layout(folder, folder)
    if of_export.checksums.is_file():
        verdict = verify(of_export)
        if not verdict.whole:
            raise DatasetError(
                f"nothing was uploaded: {described(verdict, of_export)}; write it again with task=export"
            )
    sizes = dict(_files(folder))
    for name, size in sizes.items() if hub.dry else ():
        print(f"{size:>12}  {name}")
    print(
        f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.1f} MB, from {folder} to the "
        f"{'private' if hub.private else 'PUBLIC'} dataset {hub.repo}"
    )
    if not hub.dry:
        _send(hub.repo, hub.private, folder)
    return 0


def _files(folder: Path) -> Iterator[tuple[str, int]]:
    """Name and bytes of everything that goes up."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(".cache/") and path.name != ".DS_Store":
            yield name, path.stat().st_size


def _send(repo: str, private: bool, folder: Path) -> None:
    try:
        import huggingface_hub
    except ImportError:
        raise ConfigError(
            "task=upload needs huggingface_hub: make setup EXTRAS=hub (or pip install '.[hub]')"
        ) from None
    if huggingface_hub.get_token() is None:
        raise ConfigError(f"task=upload needs a Hugging Face token, and this machine has none: {LOG_IN}")
    api = huggingface_hub.HfApi()
    with _explained(repo):
        api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
        if private and not api.repo_info(repo, repo_type="dataset").private:
            raise ConfigError(
                f"{repo} is there already and everybody can see it, but hub.private=true: make it private in its "
                "settings, name another hub.repo, or say hub.private=false"
            )
        api.upload_folder(
            repo_id=repo,
            repo_type="dataset",
            folder_path=str(folder),
            ignore_patterns=list(IGNORED),
            commit_message="Upload dataset",
        )
    log.info("%s is at %s/datasets/%s", folder, api.endpoint, repo)


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Errors of the Hub as what to do about them, told apart by their own names and statuses."""
    try:
        yield
    except (ConfigError, DatasetError):
        raise
    except Exception as error:
        text = next((text for each in _chain(error) if (text := _what(each, repo))), None)
        if text is None:
            raise
        raise DatasetError(f"{text}; what has arrived is not sent again: run the same command") from error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from: the library wraps what happened to one file."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _what(error: BaseException, repo: str) -> str | None:
    names = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if "HFValidationError" in names:
        return f"hub.repo must be OWNER/NAME in letters, digits, - _ and ., got {repo!r}"
    if status == 401:
        return f"the Hub does not accept this machine's token (401): {LOG_IN}"
    if status == 403:
        return f"the token of this machine may not write to {repo} (403): take your own name as OWNER, or {LOG_IN}"
    if "RepositoryNotFoundError" in names or status == 404:
        return f"the Hub has no {repo} that this token may see (404): check hub.repo and the token"
    if status >= 500 or status == 429:
        return f"the Hub has trouble of its own ({status})"
    if status:
        return f"the Hub refused the upload to {repo} ({status}: {str(error).splitlines()[0]})"
    if type(error).__module__.split(".")[0] in NETWORK or isinstance(error, OSError):
        return f"the Hub cannot be reached ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
    return None
