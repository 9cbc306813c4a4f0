/** Builds the page's service worker, which holds the list of all files of the built page: see src/ui/offline. */
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join, posix, sep } from 'node:path';
import { build } from 'vite';

/** What a service worker doesn't keep: itself, what is for servers, and models that whoever serves the page has added. */
const NOT_KEPT = /^(service-worker\.js|_headers)$/;
const MOST_BYTES = 16 * 2 ** 20;

/** The version in a built service worker. */
export const RELEASE_VERSION = /release-[0-9a-f]{16}/;

/** @param {string | Uint8Array} content @param {import('node:crypto').BinaryToTextEncoding} [encoding] */
const sha256 = (content, encoding = 'base64') => createHash('sha256').update(content).digest(encoding);

/** Names what `content` is part of. @param {string} content */
export const releaseVersion = (content) => `release-${sha256(content, 'hex').slice(0, 16)}`;

/** @param {string} folder the built page @returns {import('../ui/offline/release').Release} */
function readRelease(folder) {
  const html = readFileSync(join(folder, 'index.html'), 'utf8');
  const entry = /<script type="module"[^>]* src="\.\/([^"]+)"/.exec(html)?.[1];
  if (entry === undefined) throw new Error('index.html has no script to begin with.');
  const paths = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((file) => file.isFile())
    .map((file) =>
      join(file.parentPath, file.name)
        .slice(folder.length + 1)
        .split(sep)
        .join('/'),
    )
    .filter((path) => path !== 'index.html' && !NOT_KEPT.test(path))
    .sort();
  /** @type {Record<string, string>} */
  const files = {};
  const folders = new Set(paths.map((path) => posix.dirname(path)).filter((path) => path !== '.'));
  for (const path of paths) {
    const bytes = readFileSync(join(folder, path));
    if (bytes.byteLength <= MOST_BYTES) files[path] = `sha256-${sha256(bytes)}`;
    else folders.delete(posix.dirname(path));
  }
  const version = releaseVersion(JSON.stringify([sha256(html), files]));
  return { version, entry, files, folders: [...folders].map((path) => `${path}/`) };
}

/**
 * Writes the service worker of the page that is in `folder` as it is now.
 * @param {string} script the worker's source @param {string} folder
 */
export function buildServiceWorker(script, folder) {
  return build({
    configFile: false,
    publicDir: false,
    logLevel: 'warn',
    define: { RELEASE: JSON.stringify(readRelease(folder)) },
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: 'es2023',
      rolldownOptions: { input: script, output: { format: 'iife', entryFileNames: 'service-worker.js' } },
    },
  });
}

/** @param {string} script the worker's source @param {string} folder the built page @returns {import('vite').Plugin} */
export function keepPage(script, folder) {
  return {
    name: 'graft:keep-page',
    apply: 'build',
    writeBundle: {
      order: 'post',
      sequential: true, // every other file is written
      handler: async () => void (await buildServiceWorker(script, folder)),
    },
  };
}
