import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describePause } from '../../connections/pauses';
import { formatBytes } from '../../core/bytes';
import { GraftError } from '../../core/errors';
import { plural } from '../../core/format';
import { HubClient } from '../../hub/client';
import { checkRepoId, checkRevision } from '../../hub/names';
import { uploadFiles, type UploadEvent, type UploadFile } from '../../hub/upload';
import { CARD, preparePush } from '../../recipes';
import type { Arguments } from '../arguments';
import type { Command } from '../command';
import { openFileBlob } from '../file-blob';
import { cardOf } from '../gguf-files';
import { hubEnvironment } from '../hub';
import { describeMissing } from '../input';
import type { Terminal } from '../terminal';
import { asUsage, UsageError } from '../usage';

export const push: Command = {
  name: 'push',
  summary: 'an adapter, a model or a GGUF file to a repository of the Hub',
  usage: 'PATH ORG/NAME [--revision BRANCH] [--message TEXT] [--public]',
  syntax: {
    positionals: 2,
    runKeys: false,
    flags: {
      revision: { value: 'BRANCH', help: 'the branch, which is made where there is none of the name', default: 'main' },
      message: { value: 'TEXT', help: 'of the commit', default: 'Upload with Graft' },
      'commit-message': { value: 'TEXT', help: "the same, as in Hugging Face's own tool" },
      public: { help: 'a repository that is made is for everyone; without it, it is private' },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const { path, repo, branch, message } = readCall(args);
    const client = await openHub(terminal);
    const given = await filesOf(path);
    const licenceOf = async (model: string) =>
      (await client.model(model, 'main', signal).catch(() => undefined))?.licence;
    const { files, leftOut, notices } = await preparePush(path, given, licenceOf);
    const size = files.reduce((sum, { blob }) => sum + blob.size, 0);
    terminal.say(
      `${plural(files.length, 'file')} of ${path}, ${formatBytes(size)}: ${files.map(({ name }) => name).join(', ')}`,
    );
    if (leftOut.length > 0) terminal.say(`Left out, as no part of the result: ${leftOut.join(', ')}`);
    notices.forEach((notice) => terminal.say(notice));
    const isPrivate = !args.has('public');
    const show = (event: UploadEvent) => showEvent(event, repo, isPrivate, terminal);
    const result = await uploadFiles(client, { repo, branch, isPrivate, message, files }, show, signal);

    const url = `${client.endpoint}/${result.repo}${branch === 'main' ? '' : `/tree/${encodeURIComponent(branch)}`}`;
    if (result.ignored.length > 0) {
      terminal.say(`Left out, as the repository's .gitignore says: ${result.ignored.join(', ')}`);
    }
    const there = files.length - result.committed.length - result.ignored.length;
    const isDone = result.committed.length === 0;
    terminal.say(
      isDone
        ? `${result.repo} has all of it already: nothing was sent.`
        : `${result.repo} has ${plural(result.committed.length, 'new file')}${there > 0 ? `; ${there} were there already` : ''}, commit ${result.commit.slice(0, 8)}.`,
    );
    terminal.print(`${url}\n`);
    terminal.emit({
      kind: 'summary',
      ...{ repo: result.repo, revision: branch, url, commit: result.commit, private: result.isPrivate },
      ...{ created: result.created, files: result.committed, stored: result.stored },
      left_out: [...leftOut, ...result.ignored],
    });
  },
};

function readCall(args: Arguments) {
  const [path, repo] = args.positionals;
  if (path === undefined || repo === undefined)
    throw new UsageError('Name the folder or the GGUF file, and the repository: graft push PATH ORG/NAME.');
  const branch = args.text('revision') ?? 'main';
  asUsage(() => checkRepoId(repo));
  asUsage(() => checkRevision(branch));
  if (/^[0-9a-f]{40}$/.test(branch))
    throw new UsageError('--revision names a commit, which nothing can be added to: name a branch.');
  const messages = [args.text('message'), args.text('commit-message')].filter((text) => text !== undefined);
  if (messages.length > 1) throw new UsageError('--message and --commit-message are the same: give one.');
  const message = messages[0]?.trim() ?? 'Upload with Graft';
  if (message === '') throw new UsageError('--message is empty: say what the commit is.');
  return { path, repo, branch, message };
}

async function openHub(terminal: Terminal): Promise<HubClient> {
  const { endpoint, token, withheldToken, offline } = await hubEnvironment();
  if (offline) throw new GraftError('network', 'HF_HUB_OFFLINE is set: unset it to push.');
  const client = new HubClient({ endpoint, token, onPause: (pause) => terminal.say(describePause(pause)) });
  if (client.hasToken) return client;
  const withheld = withheldToken
    ? ` The token in the file of hf auth login is huggingface.co's, and isn't sent to ${new URL(client.endpoint).host}.`
    : '';
  throw new GraftError(
    'no-access',
    `There is no token to push with: make one with write access at ${client.endpoint}/settings/tokens, and set HF_TOKEN ` +
      `to it${withheldToken ? '' : ', or sign in with hf auth login'}.${withheld}`,
  );
}

/** What lies in a folder, or a GGUF file with its card and, where it is split, its other parts. */
async function filesOf(path: string): Promise<UploadFile[]> {
  const found = await stat(path).catch(() => undefined);
  if (!found) throw await describeMissing(path, 'file or folder');
  if (found.isDirectory()) {
    const entries = await readdir(path, { withFileTypes: true });
    const files: UploadFile[] = [];
    for (const { name } of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      // Through links, of which Hugging Face's cache is made.
      const isFile = (await stat(join(path, name)).catch(() => undefined))?.isFile() ?? false;
      files.push(
        isFile ? { name, blob: await openFileBlob(join(path, name)) } : { name: `${name}/`, blob: new Blob() },
      );
    }
    return files;
  }
  if (!/\.gguf$/i.test(path)) {
    throw new GraftError(
      'not-found',
      `${path} is no export: name its folder, ${dirname(path)}, or a GGUF file. Of single files, only those are pushed.`,
    );
  }
  const card = cardOf(path);
  const hasCard = (await stat(card).catch(() => undefined))?.isFile() ?? false;
  return [
    ...(await Promise.all(
      (await partsOf(path)).map(async (part) => ({ name: basename(part), blob: await openFileBlob(part) })),
    )),
    ...(hasCard ? [{ name: CARD, blob: await openFileBlob(card) }] : []),
  ];
}

/** All parts of a model in several files, by the name of one. */
async function partsOf(path: string): Promise<string[]> {
  const [, start, count] = /^(.*)-\d{5}-of-(\d{5})\.gguf$/i.exec(basename(path)) ?? [];
  if (start === undefined || count === undefined) return [path];
  const names = Array.from(
    { length: Number(count) },
    (_, i) => `${start}-${String(i + 1).padStart(5, '0')}-of-${count}.gguf`,
  );
  const parts = names.map((name) => join(dirname(path), name));
  for (const part of parts) if (!(await stat(part).catch(() => undefined))) throw await describeMissing(part, 'file');
  return parts;
}

function showEvent(event: UploadEvent, repo: string, isPrivate: boolean, terminal: Terminal): void {
  if (event.kind === 'opened') {
    const kind = event.isPrivate ? 'private' : 'public';
    if (event.created) terminal.say(`${repo} is made, ${kind}.`);
    else if (isPrivate && !event.isPrivate)
      terminal.say(`${repo} is there already, and public: everyone can read what is added.`);
    else terminal.say(`${repo} is there already (${kind}): files are added to it.`);
  } else if (event.kind === 'committing') terminal.bar(1, 'committing');
  else {
    const verb = event.kind === 'hashing' ? 'reading' : 'uploading';
    const share = event.total === 0 ? 1 : event.done / event.total;
    terminal.bar(share, `${verb} ${event.file}, ${formatBytes(event.done)} of ${formatBytes(event.total)}`);
  }
}
