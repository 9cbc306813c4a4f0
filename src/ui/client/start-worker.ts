/** Starts a worker such that the page's Content-Security-Policy holds in it, whatever headers its script comes with. */

import { GraftError } from '../../core/errors';

const INSECURE =
  'Browsers give the GPU and safe storage only to pages from https addresses, and this one came from an http address: ' +
  'open it at its https address, or at http://localhost on the computer that serves it.';

/** A blob a script, for as long as the page is open. */
const starters = new Map<string, string>();

/** Workers that were started before anybody asked for them. */
const prepared = new Map<string | URL, Worker>();

/**
 * Starts the worker that will be asked for first, so that it is there by then; `name` is for the worker to read. What goes
 * wrong is told to whoever asks.
 */
export function prepareWorker(script: string | URL, name: string): void {
  if (!isSecureContext) return;
  const worker = startWorker(script, name);
  prepared.set(script, worker);
  worker.addEventListener('error', () => prepared.delete(script), { once: true });
}

/**
 * Starts the module at `script`, an address of the page's own origin.
 *
 * A worker that is started from an address takes its policy from the headers of its script, and has none where a static
 * host sends none. One that is started from a blob inherits the policy of the page that made it, that of a `<meta>`
 * included (HTML standard, "clone a policy container"): so a blob imports the script.
 * @throws `no-webgpu` on a page from an insecure address, where a worker lacks the GPU, locks and hashes
 */
export function startWorker(script: string | URL, name = ''): Worker {
  const ready = prepared.get(script);
  prepared.delete(script);
  if (ready) return ready;
  if (!isSecureContext) throw new GraftError('no-webgpu', INSECURE);
  const address = new URL(script, document.baseURI).href;
  let starter = starters.get(address);
  if (starter === undefined) {
    starter = URL.createObjectURL(new Blob([`import ${JSON.stringify(address)};`], { type: 'text/javascript' }));
    starters.set(address, starter);
  }
  return new Worker(starter, { type: 'module', name });
}
