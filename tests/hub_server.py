"""A stand-in for the hub on this machine: real HTTP for the real clients, without a network.

It answers what `huggingface_hub`, `datasets` and `transformers` ask to load datasets and models:
information, file lists and files, with the hub's headers, error codes and redirects of large files.
The address is read when `huggingface_hub` is imported, so that its users run in a process of their
own, with `HubServer.environment`.
"""

import hashlib
import json
import os
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".parquet", ".safetensors", ".gz")  # files that the hub keeps apart and redirects to
OTHERS = ("HF_", "HUGGING", "TRANSFORMERS_")  # settings of the hub's clients that tests do not keep
COMMIT = re.compile("[0-9a-f]{40}")
MEMBER = "hf_member"  # a token that has access to gated and private repositories
EXPIRED = "hf_expired"  # a token that the hub refuses; any other is of a user without access


@dataclass
class Repository:
    """Commits of a repository: the files of each, and which one a branch stands at."""

    gated: bool = False
    private: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)


class HubServer:
    """Repositories of datasets and models, served while the context lasts.

    Attributes:
        url: Address of the server.
        store: Address that large files are redirected to.
        requests: Method and path of each request so far.
        authorization: Tokens that requests came with.
    """

    def __init__(self):
        self.repositories, self.requests, self.authorization = {}, [], set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.hub = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        # the clients take another name for another machine, as the one with large files is
        self.store = f"http://localhost:{self._server.server_port}/large"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add_dataset(self, name, files, **options):
        """Put a commit on a branch of a dataset, whose files are then these alone.

        Args:
            name: `OWNER/NAME`.
            files: Content, or a file with it, by path in the repository.
            options: `branch` ("main", or the commit's own name), `gated` and `private` (of the
                repository).

        Returns:
            The commit, 40 hex digits; the same for the same name, branch and files.
        """
        return self._add("datasets", name, files, **options)

    def add_model(self, name, folder, **options):
        """The same for the files of a model's folder."""
        paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        files = {path.relative_to(folder).as_posix(): path for path in paths}
        return self._add("models", name, files, **options)

    def _add(self, kind, name, files, *, branch="main", gated=False, private=False):
        content = {
            path: file if isinstance(file, bytes) else file.read_bytes()
            for path, file in sorted(files.items())
        }
        digest = hashlib.sha1(f"{kind} {name} {branch}".encode())
        for path, data in content.items():
            digest.update(f"{path} {_sha256(data)}".encode())
        repository = self.repositories.setdefault((kind, name), Repository(gated, private))
        commit = branch if COMMIT.fullmatch(branch) else digest.hexdigest()
        repository.commits[commit] = content
        repository.branches[branch] = commit
        return commit

    def environment(self, home, **more):
        """Environment of a process that shall use this hub.

        Args:
            home: Folder of the clients' caches and tokens.
            more: Further variables, such as HF_HUB_OFFLINE="1".
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith(OTHERS)}
        own = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1"}
        near = dict.fromkeys(["NO_PROXY", "no_proxy"], "127.0.0.1,localhost")
        return kept | own | near | {"HF_HUB_DISABLE_TELEMETRY": "1", **more}


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


class _Answer(Exception):  # noqa: N818
    """Ends a request: status, headers and a body of bytes or JSON."""

    def __init__(self, status, headers=None, body=b""):
        self.status, self.headers = status, dict(headers or {})
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


def _json(body):
    return _Answer(200, {"Content-Type": "application/json"}, body)


def _error(status, code, message, commit=""):
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    if commit:
        headers["X-Repo-Commit"] = commit
    return _Answer(status, headers, {"error": message})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # the clients keep connections open
    wbufsize = -1  # headers and body leave together

    def log_message(self, *_):
        """Nothing: the server keeps the requests."""

    @property
    def hub(self):
        return self.server.hub

    def do_GET(self):
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))))

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _answer(self, sent):
        self.hub.requests.append(f"{self.command} {self.path}")
        self.token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.token:
            self.hub.authorization.add(self.token)
        try:
            if self.token == EXPIRED:
                raise _error(401, "", "Invalid credentials in Authorization header")
            self._route(sent)
        except _Answer as answer:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
        else:
            raise AssertionError("every route answers")

    def _route(self, sent):
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[0] == "large":
            raise _Answer(200, {}, self._large(parts[1]))
        if parts[0] == "api" and len(parts) >= 4:
            kind, name, rest = parts[1], "/".join(parts[2:4]), parts[4:]
            repository = self._repository(kind, name)
            action = rest[0] if rest else "revision"
            revision = unquote(rest[1]) if len(rest) > 1 else "main"
            path = unquote("/".join(rest[2:]))
            self._api(repository, name, action, self._commit(repository, revision), path, sent)
        kind = "datasets" if parts[0] == "datasets" else "models"
        parts = parts[1:] if kind == "datasets" else parts
        if len(parts) > 4 and parts[2] == "resolve":
            repository = self._repository(kind, "/".join(parts[:2]))
            path = unquote("/".join(parts[4:]))
            self._file(repository, self._commit(repository, unquote(parts[3])), path)
        raise _error(404, "", "Sorry, we can't find the page you are looking for.")

    def _repository(self, kind, name):
        """A repository that this user may know of: a private one looks like none."""
        found = self.hub.repositories.get((kind, name))
        if found is not None and (not found.private or self.token == MEMBER):
            return found
        if self.token:
            raise _error(404, "RepoNotFound", "Repository not found")
        raise _error(401, "RepoNotFound", "Invalid username or password.")

    def _commit(self, repository, revision):
        commit = repository.branches.get(revision, revision)
        if commit not in repository.commits:
            raise _error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def _api(self, repository, name, action, commit, path, sent):
        """Information and file lists; the hub shows those of gated repositories to everybody."""
        files = repository.commits[commit]
        if action == "revision":
            raise _json({
                "id": name, "sha": commit, "private": repository.private, "tags": [],
                "gated": "auto" if repository.gated else False,
                "siblings": [{"rfilename": file} for file in files],
            })  # fmt: skip
        entries = _entries(files)
        if action == "tree":
            if path and entries.get(path, {}).get("type") != "directory":
                raise _error(404, "EntryNotFound", f"{path} does not exist", commit)
            query = parse_qs(urlsplit(self.path).query)
            below = f"{path}/" if path else ""
            deep = query.get("recursive", ["false"])[0].lower() in ("true", "1")
            raise _json([
                entry for entry in entries.values()
                if entry["path"].startswith(below)
                and (deep or "/" not in entry["path"].removeprefix(below))
            ])  # fmt: skip
        if action == "paths-info":
            paths = parse_qs(sent.decode()).get("paths", [])
            raise _json([entries[name] for name in paths if name in entries])
        raise _error(404, "", f"no such action: {action}")

    def _file(self, repository, commit, path):
        """A file; or where it is, if it is large."""
        if repository.gated and self.token != MEMBER:
            status = 403 if self.token else 401
            raise _error(status, "GatedRepo", "Access to this repository is restricted.")
        if path not in repository.commits[commit]:
            raise _error(404, "EntryNotFound", "Entry not found", commit)
        data = repository.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if path.endswith(LARGE):
            headers |= {"X-Linked-Etag": f'"{_sha256(data)}"', "X-Linked-Size": str(len(data))}
            raise _Answer(302, {**headers, "Location": f"{self.hub.store}/{_sha256(data)}"})
        raise _Answer(200, {**headers, "ETag": f'"{_git_hash(data)}"'}, data)

    def _large(self, digest):
        for repository in self.hub.repositories.values():
            for files in repository.commits.values():
                for data in files.values():
                    if _sha256(data) == digest:
                        return data
        raise _error(404, "", "no such file")


def _git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _entries(files):
    """Files and folders of a commit, as the hub lists them."""
    found = {}
    for path, data in files.items():
        for folder in reversed([str(p) for p in Path(path).parents if str(p) != "."]):
            oid = hashlib.sha1(folder.encode()).hexdigest()
            found[folder] = {"type": "directory", "path": folder, "oid": oid, "size": 0}
        found[path] = {"type": "file", "path": path, "size": len(data), "oid": _git_hash(data)}
        if path.endswith(LARGE):
            found[path]["lfs"] = {"oid": _sha256(data), "size": len(data), "pointerSize": 134}
    return found
