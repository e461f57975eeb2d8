"""A stand-in for Hugging Face's hub on the loopback: repositories with commits and branches, in memory."""
import base64
import hashlib
import json
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qs, unquote, urlparse


class Hub(ThreadingHTTPServer):
    """Serves while it is open; ``commits`` are dicts of files by repository and commit, ``branches`` name commits."""

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.commits, self.branches = defaultdict(dict), defaultdict(dict)
        self.log = []
        Thread(target=self.serve_forever, args=(0.01, ), daemon=True).start()

    @property
    def url(self):
        return f'http://127.0.0.1:{self.server_port}'

    def close(self):
        self.shutdown()
        self.server_close()

    def files(self, repository, revision='main'):
        """Files of a branch or commit; ``None`` if there is none."""
        commit = self.branches[repository].get(revision, revision)
        return commit, self.commits[repository].get(commit)

    def commit(self, repository, branch, changes):
        files = {**(self.files(repository, branch)[1] or {}), **changes}
        commit = hashlib.sha1(repr((len(self.commits[repository]), sorted(files.items()))).encode()).hexdigest()
        self.commits[repository][commit], self.branches[repository][branch] = files, commit
        return commit


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def log_message(self, *_):
        pass

    def answer(self, content, status=200, **headers):
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, 'Content-Length': str(len(content))}.items():
            self.send_header(name.replace('_', '-'), value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)

    def missing(self, code):
        self.answer(dict(error=code), 404, X_Error_Code=code)

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
        hub, (_, *parts) = self.server, unquote(urlparse(self.path).path).split('/')
        hub.log.append(f'POST {parts[-2]}')
        if parts[1] == 'repos':
            asked = json.loads(body)
            name = f'{asked["organization"]}/{asked["name"]}'
            if hub.branches[name]:
                return self.answer(dict(error='exists', url=f'{hub.url}/{name}'), 409)
            hub.commit(name, 'main', {})
            return self.answer(dict(url=f'{hub.url}/{name}'))
        if parts[1] == 'validate-yaml':
            return self.answer(dict(errors=[], warnings=[]))
        name, action, revision = '/'.join(parts[2:4]), parts[4], parts[5]
        if action == 'branch':
            if revision in hub.branches[name]:
                return self.answer(dict(error='exists'), 409)
            hub.branches[name][revision] = hub.branches[name]['main']
            return self.answer({})
        if action == 'preupload':
            return self.answer(dict(files=[dict(path=file['path'], uploadMode='regular', shouldIgnore=False)
                                           for file in json.loads(body)['files']]))
        entries = [json.loads(line) for line in body.splitlines()]
        changes = {entry['value']['path']: base64.b64decode(entry['value']['content']) for entry in entries
                   if entry['key'] == 'file'}
        commit = hub.commit(name, revision, changes)
        return self.answer(dict(success=True, commitUrl=f'{hub.url}/{name}/commit/{commit}', commitOid=commit))

    def do_GET(self):
        hub, url = self.server, urlparse(self.path)
        _, *parts = unquote(url.path).split('/')
        hub.log.append(f'{self.command} {parts[-1]}')
        if parts[:2] == ['api', 'models']:
            asked = {key: value[0] for key, value in parse_qs(url.query).items()}
            return self.answer([dict(id=name, tags=['bkdsnn']) for name in hub.branches
                                if name.startswith(f'{asked.get("author", "")}')])
        if len(parts) != 5:
            return self.missing('EntryNotFound')
        name, (_, revision, file) = '/'.join(parts[:2]), parts[2:]
        if not hub.branches.get(name):
            return self.missing('RepoNotFound')
        commit, files = hub.files(name, revision)
        if files is None:
            return self.missing('RevisionNotFound')
        if file not in files:
            return self.missing('EntryNotFound')
        content = files[file]
        return self.answer(content, X_Repo_Commit=commit, ETag=f'"{hashlib.sha1(content).hexdigest()}"')

    do_HEAD = do_GET
