"""Files of a dataset of the Hugging Face hub, or of a local copy of it, opened as tables.

The files of one commit are downloaded into the hub's cache and then read as a local copy is. Told
to load a repository by its name, `datasets` falls back to what it prepared last, of any commit, as
soon as the hub does not answer; the files of a named commit are either there or they are not.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from w2s.data.hub_tables import check_shards, read_splits, splits_of
from w2s.data.task import Task
from w2s.errors import DataError

PACKED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")
NO_DATA = ("config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json")
SAVED = ("dataset_dict.json", "state.json")  # written by save_to_disk: splits, or a single table


def title(task: Task) -> str:
    """What messages call the dataset of a task."""
    parts = [part for part in (task.config, task.data_dir) if part]
    return f"dataset {task.hub}" + (f" ({', '.join(parts)})" if parts else "")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep bars and remarks of the libraries out; their remarks may hold paths of the user."""
    import datasets
    import huggingface_hub.utils as hub

    libraries = (datasets.utils, hub)
    levels = [library.logging.get_verbosity() for library in libraries]
    without_bars = [library.are_progress_bars_disabled() for library in libraries]
    for library in libraries:
        library.logging.set_verbosity(library.logging.CRITICAL)
        library.disable_progress_bars()
    try:
        yield
    finally:
        for library, level, disabled in zip(libraries, levels, without_bars, strict=True):
            library.logging.set_verbosity(level)
            if not disabled:
                library.enable_progress_bars()


def download(task: Task, revision: str) -> Path:
    """The folder of the hub's cache with the files of one commit, named for the commit.

    All files of the repository are fetched, or those of `data_dir`. What is in the cache already is
    not fetched again; without a network the cache has to have all of them.
    """
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils import httpx

    login = "log in with `hf auth login`"
    wanted = None if task.data_dir is None else [f"{task.data_dir}/*", _script(task)]
    try:
        return Path(
            snapshot_download(
                task.hub, repo_type="dataset", revision=revision, allow_patterns=wanted
            )
        )
    except errors.GatedRepoError:
        reason = (
            f"found a gated repository, expected access to it; accept the terms on its page of the "
            f"hub and {login}"
        )
    except errors.RepositoryNotFoundError:
        reason = (
            f"found no such repository on the hub, or a private one; check the name, or {login}"
        )
    except errors.RevisionNotFoundError:
        reason = f"found no revision '{revision}', expected a branch, tag or commit of it"
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        reason = (
            f"found no answer of the hub (no network, offline mode, or a failure there) and not "
            f"all files of revision '{revision}' in its cache; load it once on a machine with "
            f"network, or give a copy as `local`"
        )
    except errors.HFValidationError:
        reason = "found a name that the hub does not allow, expected OWNER/NAME"
    except (OSError, httpx.HTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        what = f"HTTP status {status}" if status else _what(error)
        help_ = f"the token is not valid: {login}" if status == 401 else "try again"
        reason = f"found {what} from the download, expected its files; {help_}"
    raise DataError(f"{title(task)}: {reason}")


def _script(task: Task) -> str:
    """Name of the loading script that a repository of old has."""
    return f"{task.hub.rpartition('/')[2]}.py"


def _what(error: BaseException) -> str:
    """An error in a few words; without those that may hold a path."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    words = " ".join(str(error).split())
    name = type(error).__name__
    return name if "/" in words or "\\" in words or not words else f"{name}: {words[:160]}"


def _refuse_script(task: Task, folder: Path) -> None:
    """Raise where a repository is a program: `datasets` would not run it."""
    for script in (_script(task), f"{folder.name}.py"):
        if (folder / script).is_file():
            raise DataError(
                f"{title(task)}: found the loading script {script}, which `datasets` no longer "
                f"runs, expected data files; use revision 'refs/convert/parquet', or give a local "
                f"`copy` of its tables"
            )


@contextmanager
def reading(task: Task, what: str) -> Iterator[None]:
    """Tell in one line what cannot be read."""
    from datasets.exceptions import DatasetsError
    from pyarrow import ArrowException
    from yaml import YAMLError

    try:
        yield
    except FileNotFoundError:
        raise DataError(
            f"{title(task)}: found no data files in {what}, expected parquet, json or csv"
        ) from None
    except (OSError, ValueError, ArrowException, DatasetsError, YAMLError) as error:
        raise DataError(
            f"{title(task)}: {what} cannot be read ({_what(error)}), expected whole tables with "
            f"the same columns; fetch it again (after `hf cache rm dataset/{task.hub}` where it is "
            f"in the hub's cache), or choose another revision"
        ) from None


def open_copy(task: Task, copy: Path, tables: Path) -> Any:
    """The splits of a local copy (see `load_rows`)."""
    import datasets

    if not copy.is_dir():
        raise DataError(
            f"{title(task)}: found no folder '{copy.name}', expected the local copy of the dataset"
        )
    places = [copy / part for part in (task.config, task.data_dir) if part]
    for place in (*places, copy):
        if any((place / name).is_file() for name in SAVED):
            return datasets.load_from_disk(str(place))
    _refuse_script(task, copy)
    config, data_dir = task.config, task.data_dir
    if data_dir is not None and not (copy / data_dir).is_dir():
        data_dir = None
    if config is not None:
        known = datasets.get_dataset_config_names(str(copy.resolve()))
        if config not in known and (copy / config).is_dir():
            copy, config = copy / config, None
        elif known == ["default"]:
            config = None
    return prepare(task, copy, config, data_dir, tables)


def listed(task: Task, commit: str) -> bool:
    """Whether the hub's cache knows which files a commit has: then none of them is missing.

    Versions of huggingface_hub before 2.4 did not keep this list; without a network they, and later
    ones, take what is there for all that there is.
    """
    from huggingface_hub import errors, get_cached_repo_tree

    try:
        get_cached_repo_tree(task.hub, repo_type="dataset", revision=commit)
    except errors.CachedRepoTreeNotFoundError:
        return False
    return True


def prepare(
    task: Task,
    folder: Path,
    config: str | None,
    data_dir: str | None,
    tables: Path,
    *,
    whole: bool = True,
) -> Any:
    """The splits of a folder of data files, as memory-mapped tables in the folder `tables`.

    Files are those that README.md lists for the configuration, or else have their splits by their
    names (`splits_of`). Row counts that README.md gives are compared with those of the files; if it
    is not known that the folder is `whole`, either they or the files' names have to say so.

    The tables are not kept: the cache of `datasets` does not notice when files of a folder with a
    README.md change, nor tell two such folders of the same name apart.
    """
    import datasets

    place = str(folder.resolve())
    _refuse_script(task, folder)
    known = datasets.get_dataset_config_names(place)
    default = datasets.get_dataset_default_config_name(place)
    if config not in known and (config is not None or default is None):
        raise DataError(
            f"{title(task)}: found the configurations {', '.join(known)}, expected "
            f"{'one to be chosen' if config is None else repr(config)}"
        )
    builder, counted = _builder(task, place, config, data_dir, tables)
    wanted = (*task.train, *task.test)
    promised = {name: found.num_examples for name, found in (builder.info.splits or {}).items()}
    if not (whole or counted or set(wanted) <= set(promised)):
        raise DataError(
            f"{title(task)}: found files in the hub's cache without the list of those that belong "
            f"to them, as older versions of huggingface_hub left them, so some may be missing; "
            f"load it once with network, or give a copy as `local`"
        )
    splits = read_splits(builder, title(task), folder.resolve(), tables)
    for name in wanted:
        if name in splits and promised.get(name) not in (None, len(splits[name])):
            raise DataError(
                f"{title(task)}, split {name}: found {len(splits[name]):,} rows, expected "
                f"{promised[name]:,} as `dataset_info` in README.md says; a file is missing or "
                f"README.md is of other files: fetch all of it again, or correct README.md"
            )
    return splits


def _builder(
    task: Task, place: str, config: str | None, data_dir: str | None, tables: Path
) -> tuple[Any, bool]:
    """What reads a folder's files by splits, and whether their names say that all are there."""
    import datasets

    options = {"data_dir": data_dir, "cache_dir": str(tables)}
    builder = datasets.load_dataset_builder(place, config, **options)
    wanted = (*task.train, *task.test)
    try:
        if data_dir is not None or not _listed(place, builder.config.name):
            base = Path(place, data_dir or builder.config.data_dir or "")
            files = splits_of(_data_files(base, builder), wanted)
            paths = {split: [str(base / name) for name in names] for split, names in files.items()}
            if paths != {split: sorted(names) for split, names in _files(builder).items()}:
                escaped = {split: list(map(glob.escape, names)) for split, names in paths.items()}
                del options["data_dir"]
                builder = datasets.load_dataset_builder(
                    place, config, data_files=escaped, **options
                )
        counted = check_shards(_files(builder), wanted)
    except DataError as error:
        raise DataError(f"{title(task)}: {error}") from None
    return builder, counted


def _files(builder: Any) -> dict[str, list[str]]:
    return {str(split): list(names) for split, names in builder.config.data_files.items()}


def _ending(name: str) -> str:
    """The format of a file: its last ending, and the one before it where that is a packing."""
    ends = Path(name).suffixes
    return "".join(ends[-2:] if ends and ends[-1] in PACKED else ends[-1:])


def _data_files(base: Path, builder: Any) -> list[str]:
    """Files below a folder of the formats that were found in it, without hidden ones."""
    endings = {_ending(name) for names in _files(builder).values() for name in names}
    found = [path.relative_to(base) for path in base.rglob("*") if path.is_file()]
    return [
        path.as_posix()
        for path in found
        if _ending(path.name) in endings and not any(p.startswith((".", "__")) for p in path.parts)
        and path.name not in NO_DATA
    ]  # fmt: skip


def _listed(place: str, config: str) -> bool:
    """Whether README.md lists the files of a configuration."""
    from huggingface_hub import DatasetCard

    page = Path(place, "README.md")
    listed = DatasetCard.load(page).data.to_dict().get("configs") if page.is_file() else None
    return any(
        isinstance(known, dict) and known.get("config_name") == config and "data_files" in known
        for known in listed or ()
    )
