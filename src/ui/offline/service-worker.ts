/**
 * Keeps the page for when there is no connection: the files of one release, fetched and checked together, and answered
 * from there ever after. What other hosts answer is none of its business. A newer release is kept beside the old one and
 * waits until the visitor takes it, or until no tab is open; scripts of an old release stay while a tab of it is open.
 */
import { cacheName, entryOfCache, pageLock, TAKE_OVER, type Release } from './release';

/** TypeScript's types of service workers don't go together with those of pages. */
interface ExtendableEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchEvent extends ExtendableEvent {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
interface WorkerEvents {
  install: ExtendableEvent;
  activate: ExtendableEvent;
  message: MessageEvent;
  fetch: FetchEvent;
}
interface ServiceWorkerScope {
  readonly registration: ServiceWorkerRegistration;
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener<K extends keyof WorkerEvents>(kind: K, listener: (event: WorkerEvents[K]) => void): void;
}

/** Put in by the build. */
declare const RELEASE: Release;

const release = RELEASE;
const worker = self as unknown as ServiceWorkerScope;
const folder = worker.registration.scope;
const ownCache = cacheName(folder, release);

/** Fetches and checks the whole release; where a part of it fails, nothing of it is kept, and the next visit tries again. */
async function keepRelease(): Promise<void> {
  const kept = await caches.open(ownCache);
  try {
    await keepPage(kept);
    // One after the other: the visitor may be fetching something that matters more.
    for (const [path, integrity] of Object.entries(release.files)) {
      // Scripts are named by their content. Of other files the browser may have ranges only, and some browsers with some
      // servers put these together wrongly. A server whose files are being replaced has some of each release: hashes tell.
      const cache = isScript(path) ? 'default' : 'reload';
      const request = new Request(new URL(path, folder), { cache, integrity });
      await kept.put(request, await checkAnswer(await fetch(request)));
    }
  } catch (error) {
    await caches.delete(ownCache);
    throw error;
  }
}

/** Whoever serves the page writes its policy into it, so that its script, and no hash, says which release it is of. */
async function keepPage(cache: Cache): Promise<void> {
  const answer = await checkAnswer(await fetch(folder, { cache: 'no-cache' }));
  if (!(await answer.clone().text()).includes(release.entry)) throw new Error('The page is of another release.');
  await cache.put(folder, answer);
}

function isScript(path: string): boolean {
  return path.startsWith('assets/');
}

async function checkAnswer(answer: Response): Promise<Response> {
  if (answer.status !== 200 || answer.redirected) throw new Error(`${answer.url}: ${answer.status}`);
  return answer;
}

/** Removes releases that no open tab is of. */
async function removeOldReleases(): Promise<void> {
  const { installing, waiting } = worker.registration;
  if (installing || waiting) return; // what they have kept is newer
  const { held = [] } = await navigator.locks.query();
  const locks = new Set(held.map(({ name }) => name));
  for (const name of await caches.keys()) {
    const entry = entryOfCache(name, folder);
    if (entry === undefined || name === ownCache || locks.has(pageLock(new URL(entry, folder)))) continue;
    await caches.delete(name);
  }
}

/** The path below the page's folder, empty for the page itself; undefined for what is not of this release's folders. */
function pathOf({ method, url }: Request): string | undefined {
  const { origin, pathname } = new URL(url);
  const address = origin + pathname;
  if (method !== 'GET' || !address.startsWith(folder)) return undefined;
  const path = address.slice(folder.length);
  if (path === '' || path === 'index.html') return '';
  const isOurs = path in release.files || release.folders.some((inside) => path.startsWith(inside));
  return isOurs ? path : undefined;
}

/** A range is answered with the whole file, as by a server that knows no ranges. */
async function answerRequest(request: Request, path: string): Promise<Response> {
  const address = new URL(path, folder).href;
  const own = await caches.match(address, { cacheName: ownCache, ignoreVary: true });
  if (own) return own;
  if (isScript(path)) {
    for (const name of await caches.keys()) {
      if (entryOfCache(name, folder) === undefined) continue;
      const old = await caches.match(address, { cacheName: name, ignoreVary: true });
      if (old) return old;
    }
  }
  try {
    return await fetch(request);
  } catch (error) {
    if (path === '' || path in release.files) throw error; // it was kept once, and the browser has removed it
    return new Response(null, { status: 404, statusText: 'Not Found' });
  }
}

worker.addEventListener('install', (event) => event.waitUntil(keepRelease()));
worker.addEventListener('activate', (event) => event.waitUntil(removeOldReleases().then(() => worker.clients.claim())));
worker.addEventListener('message', ({ data }) => {
  if (data === TAKE_OVER) void worker.skipWaiting();
});
worker.addEventListener('fetch', (event) => {
  const path = pathOf(event.request);
  if (path === undefined) return;
  event.respondWith(answerRequest(event.request, path));
  if (path === '') event.waitUntil(removeOldReleases());
});
