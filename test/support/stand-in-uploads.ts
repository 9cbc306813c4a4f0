/**
 * What the stand-in Hub does with files that are sent to it, as huggingface.co does: repositories that are made, what is
 * asked before (`preupload`), large-file storage by the Git LFS batch API with one address a file or one a part, and
 * commits as lines of JSON.
 */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { parse } from 'yaml';
import type { Fault, RecordedRequest } from './stand-in-hub';
import { isLargeFile, StandInModel, type StandInOptions } from './stand-in-models';

export interface Account {
  readonly name: string;
  readonly organizations?: readonly string[];
  /** `write`, unless said. */
  readonly role?: 'read' | 'write' | 'fineGrained';
}

export interface StandInCommit {
  readonly branch: string;
  readonly summary: string;
  readonly files: readonly string[];
}

/** A repository that can be written to. */
interface Repository {
  readonly isPrivate: boolean;
  readonly branches: Map<string, Map<string, Uint8Array>>;
  readonly heads: Map<string, string>;
  readonly commits: StandInCommit[];
}

/** A request, as far as uploads need it. */
export interface UploadExchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly record: RecordedRequest;
  readonly faults: Fault;
  readonly url: URL;
}

/** The Hub around it. */
export interface HubBehind {
  readonly url: string;
  readonly cdnUrl: string;
  readonly sign: (path: string) => string;
  readonly show: (id: string, files: Record<string, Uint8Array>, options: StandInOptions) => StandInModel;
  readonly allow: (token: string, ...ids: readonly string[]) => void;
}

class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

export class StandInUploads {
  /** Files of more bytes are sent in parts of so many. */
  partBytes = Infinity;
  /** Whether every new repository is public, whatever is asked for. */
  ignoresPrivacy = false;
  /** Whether storage has no room for any object, which the batch says of each. */
  isFull = false;
  /** Files that a repository's .gitignore leaves out. */
  readonly ignored = new Set<string>();
  private readonly accounts = new Map<string, Account>();
  private readonly repositories = new Map<string, Repository>();
  private readonly objects = new Map<string, Buffer>();
  /** Sent, and not yet asked about. */
  private readonly arrived = new Map<string, Buffer>();
  private readonly parts = new Map<string, Map<number, Buffer>>();

  constructor(private readonly hub: HubBehind) {}

  /** Whose token this is. */
  signUp(token: string, account: Account): void {
    this.accounts.set(token, account);
    this.hub.allow(token, ...[...this.repositories.keys()].filter((id) => owns(account, id)));
  }

  /** Makes a repository, as its owner would. */
  create(id: string, isPrivate: boolean): void {
    const files = new Map([['.gitattributes', new TextEncoder().encode('*.safetensors filter=lfs\n')]]);
    const heads = new Map([['main', newCommit()]]);
    this.repositories.set(id, { isPrivate, branches: new Map([['main', files]]), heads, commits: [] });
    for (const [token, account] of this.accounts) if (owns(account, id)) this.hub.allow(token, id);
    this.show(id);
  }

  /** The branch's files by name, without what every new repository has; undefined where there is no such repository. */
  files(id: string, branch = 'main'): Record<string, Uint8Array> | undefined {
    const files = this.repositories.get(id)?.branches.get(branch);
    return files && Object.fromEntries([...files].filter(([name]) => name !== '.gitattributes'));
  }

  commits(id: string): readonly StandInCommit[] {
    return this.repositories.get(id)?.commits ?? [];
  }

  isPrivate(id: string): boolean | undefined {
    return this.repositories.get(id)?.isPrivate;
  }

  /** Answers what concerns uploads; false where it is something else. */
  async answer(host: 'hub' | 'cdn', exchange: UploadExchange): Promise<boolean> {
    const { request, response, faults, url } = exchange;
    const act = host === 'cdn' ? this.storageAction(request, url) : this.hubAction(request, url);
    if (!act) return false;
    const body = await readBody(exchange);
    if (body === undefined) return true; // cut
    try {
      const [status, answer, headers] = act(body);
      if (faults.unanswered) response.destroy();
      else response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(answer));
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      const headers = { ...(error.code !== '' && { 'x-error-code': error.code }), 'x-error-message': error.message };
      response.writeHead(error.status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ error: error.message }));
    }
    return true;
  }

  private hubAction({ method, headers }: IncomingMessage, { pathname, searchParams }: URL): Action | undefined {
    const token = /^Bearer (.+)$/.exec(headers.authorization ?? '')?.[1];
    if (method === 'GET' && pathname === '/api/whoami-v2') return () => this.whoami(this.account(token));
    if (method !== 'POST') return undefined;
    if (pathname === '/api/repos/create') return (body) => this.createAsked(this.account(token), json(body));
    if (pathname === '/api/validate-yaml') return (body) => checkCard(json(body));
    if (pathname === '/api/complete_multipart') return (body) => this.joinParts(searchParams, json(body));
    const [, api, rest = ''] = /^\/api\/models\/([^/]+\/[^/]+)\/(.+)$/.exec(pathname) ?? [];
    const [, git, lfs = ''] = /^\/([^/]+\/[^/]+)\.git\/info\/lfs\/(.+)$/.exec(pathname) ?? [];
    const id = api ?? git;
    if (id === undefined) return undefined;
    const [kind, branch = 'main'] = (api === undefined ? lfs : rest).split('/').map(decodeURIComponent);
    const actions: Record<string, (repository: Repository, body: Buffer) => Answer> = {
      branch: (repository) => this.createBranch(id, repository, branch),
      preupload: (repository, body) => this.modes(repository, branch, json(body)),
      objects: (_, body) => this.addresses(id, json(body)),
      verify: (_, body) => this.verify(json(body)),
      commit: (repository, body) => this.commit(id, repository, branch, body.toString('utf8')),
    };
    const action = actions[kind!];
    return action && ((body) => action(this.writable(token, id), body));
  }

  /** The host that keeps large files: it looks at the signature in the address, and at nothing else. */
  private storageAction({ method, headers }: IncomingMessage, { pathname, search }: URL): Action | undefined {
    if (method !== 'PUT') return undefined;
    return (body) => {
      if (this.hub.sign(pathname) !== pathname + search || headers.authorization !== undefined)
        throw new Refused(403, '', 'AccessDenied');
      const [, , name = '', part] = pathname.split('/');
      if (part === undefined) this.arrived.set(name, body);
      else this.parts.get(name)!.set(Number(part), body);
      return [200, {}, { etag: `"${createHash('md5').update(body).digest('hex')}"` }];
    };
  }

  private account(token: string | undefined): Account {
    const account = token === undefined ? undefined : this.accounts.get(token);
    if (!account) throw new Refused(401, '', 'Invalid credentials in Authorization header');
    return account;
  }

  private writable(token: string | undefined, id: string): Repository {
    const account = this.account(token);
    const repository = this.repositories.get(id);
    const isOwn = owns(account, id);
    if (!repository || (repository.isPrivate && !isOwn)) throw new Refused(404, 'RepoNotFound', 'Repository not found');
    if (!isOwn || account.role === 'read') throw new Refused(403, '', 'This token cannot write here');
    return repository;
  }

  private whoami({ name, organizations = [], role = 'write' }: Account): Answer {
    return [
      200,
      { type: 'user', name, orgs: organizations.map((org) => ({ name: org })), auth: { accessToken: { role } } },
    ];
  }

  private createAsked(account: Account, asked: { name: string; organization: string; private: boolean }): Answer {
    const id = `${asked.organization}/${asked.name}`;
    if (!owns(account, id) || account.role === 'read') throw new Refused(403, '', `No rights in ${asked.organization}`);
    if (this.repositories.has(id)) throw new Refused(409, '', 'There is such a repository');
    this.create(id, asked.private && !this.ignoresPrivacy);
    return [200, { url: `${this.hub.url}/${id}`, name: id }];
  }

  private createBranch(id: string, { branches, heads }: Repository, branch: string): Answer {
    if (branches.has(branch)) throw new Refused(409, '', 'There is such a branch');
    branches.set(branch, new Map(branches.get('main')));
    heads.set(branch, newCommit());
    this.show(id);
    return [200, 'OK'];
  }

  private modes(
    { branches }: Repository,
    branch: string,
    { files }: { files: { path: string; size: number }[] },
  ): Answer {
    if (!branches.has(branch)) throw new Refused(404, 'RevisionNotFound', 'Invalid rev id');
    const modes = files.map(({ path, size }) => ({
      path,
      uploadMode: isLargeFile(path, size) ? 'lfs' : 'regular',
      shouldIgnore: this.ignored.has(path),
    }));
    return [200, { files: modes }];
  }

  private addresses(id: string, { objects }: { objects: { oid: string; size: number }[] }): Answer {
    const verify = { href: `${this.hub.url}/${id}.git/info/lfs/verify` };
    const answers = objects.map(({ oid, size }) => {
      if (this.objects.has(oid)) return { oid, size };
      if (this.isFull) return { oid, size, error: { code: 403, message: 'Private storage limit reached' } };
      return {
        oid,
        size,
        actions: { upload: size > this.partBytes ? this.manyParts(oid, size) : this.onePart(oid), verify },
      };
    });
    return [200, { transfer: 'basic', objects: answers }, { 'content-type': 'application/vnd.git-lfs+json' }];
  }

  private onePart(oid: string): object {
    return { href: this.hub.cdnUrl + this.hub.sign(`/upload/${oid}`), header: { 'x-amz-storage-class': 'STANDARD' } };
  }

  private manyParts(oid: string, size: number): object {
    const uploadId = randomUUID();
    this.parts.set(uploadId, new Map());
    const numbers = Array.from({ length: Math.ceil(size / this.partBytes) }, (_, i) => i + 1);
    const addresses = numbers.map((n) => [
      String(n).padStart(5, '0'),
      this.hub.cdnUrl + this.hub.sign(`/upload/${uploadId}/${n}`),
    ]);
    return {
      href: `${this.hub.url}/api/complete_multipart?uploadId=${uploadId}&oid=${oid}`,
      header: { chunk_size: String(this.partBytes), ...Object.fromEntries(addresses) },
    };
  }

  private joinParts(
    query: URLSearchParams,
    { oid, parts }: { oid: string; parts: { partNumber: number; etag: string }[] },
  ): Answer {
    const sent = this.parts.get(query.get('uploadId') ?? '');
    const pieces = parts.map(({ partNumber, etag }) => {
      const piece = sent?.get(partNumber);
      if (!piece || etag !== `"${createHash('md5').update(piece).digest('hex')}"`)
        throw new Refused(400, '', `Part ${partNumber} is not there`);
      return piece;
    });
    this.arrived.set(oid, Buffer.concat(pieces));
    return [200, {}];
  }

  /** A file counts as there once somebody has asked whether it came, whole. */
  private verify({ oid, size }: { oid: string; size: number }): Answer {
    const bytes = this.objects.get(oid) ?? this.arrived.get(oid);
    if (bytes?.byteLength !== size || createHash('sha256').update(bytes).digest('hex') !== oid)
      throw new Refused(400, '', 'The object is not what its name says');
    this.arrived.delete(oid);
    this.objects.set(oid, bytes);
    return [200, {}];
  }

  private commit(id: string, { branches, heads, commits }: Repository, branch: string, lines: string): Answer {
    const [header, ...operations] = lines.split('\n').map((line) => JSON.parse(line) as unknown) as [
      { key: 'header'; value: { summary: string } },
      ...{ key: 'file' | 'lfsFile'; value: { path: string; content: string; oid: string; size: number } }[],
    ];
    const files = new Map(branches.get(branch));
    for (const { key, value } of operations) {
      const bytes = key === 'file' ? Buffer.from(value.content, 'base64') : this.objects.get(value.oid);
      if (bytes?.byteLength !== (key === 'file' ? bytes?.byteLength : value.size) || !bytes)
        throw new Refused(400, '', `${value.path} points to a file that is not there`);
      files.set(value.path, bytes);
    }
    branches.set(branch, files);
    heads.set(branch, newCommit());
    commits.push({ branch, summary: header.value.summary, files: operations.map(({ value }) => value.path) });
    this.show(id);
    return [200, { success: true, commitOid: heads.get(branch), commitUrl: `${this.hub.url}/${id}/commit` }];
  }

  /** Gives what is there to those who read. */
  private show(id: string): void {
    const { isPrivate, branches, heads } = this.repositories.get(id)!;
    const options = (branch: string) => ({ private: isPrivate, commit: heads.get(branch)! });
    const model = this.hub.show(id, Object.fromEntries(branches.get('main')!), options('main'));
    for (const [branch, files] of branches) {
      if (branch !== 'main')
        model.branches.set(branch, new StandInModel(id, Object.fromEntries(files), options(branch)));
    }
  }
}

type Answer = [status: number, answer: unknown, headers?: Record<string, string>];
type Action = (body: Buffer) => Answer;

/** The whole body; undefined where a fault ends the connection before. */
async function readBody({ request, record, faults }: UploadExchange): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  for await (const piece of request as AsyncIterable<Buffer>) {
    record.received += piece.byteLength;
    if (faults.cutAfter !== undefined && record.received > faults.cutAfter) {
      request.destroy();
      return undefined;
    }
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function owns({ name, organizations = [] }: Account, id: string): boolean {
  return [name, ...organizations].includes(id.split('/')[0]!);
}

function newCommit(): string {
  return randomBytes(20).toString('hex');
}

function json<T>(body: Buffer): T {
  return JSON.parse(body.toString('utf8')) as T;
}

/** Front matter as the Hub reads it: some fields have to be what they say. */
function checkCard({ content }: { content: string }): Answer {
  const [, text = ''] = /^---\n(.*?)\n---/s.exec(content) ?? [];
  const errors: { message: string }[] = [];
  try {
    const card = (parse(text) ?? {}) as { base_model?: string | string[]; license?: string };
    const bases = [card.base_model ?? []].flat();
    if (bases.some((base) => !/^[\w.-]+\/[\w.-]+$/.test(base))) errors.push({ message: '"base_model" is no id' });
    if (card.license !== undefined && !/^[a-z0-9.-]+$/.test(card.license))
      errors.push({ message: '"license" is none of the known ones' });
  } catch {
    errors.push({ message: 'the YAML is broken' });
  }
  return [errors.length === 0 ? 200 : 400, { errors, warnings: [] }];
}
