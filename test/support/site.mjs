/** The built page on a port of its own, and the browser that looks at it. Plain JavaScript: the demo runs without vitest. */
import { chromium } from 'playwright-core';
import { preview } from 'vite';
import { findChromium } from './drivers.mjs';

const FLAGS = [
  '--enable-unsafe-webgpu', // WebGPU on an adapter that is on no allow list
  '--use-webgpu-adapter=swiftshader', // the same adapter on every machine
  '--no-sandbox', // test machines often run as root
  '--disable-background-networking',
];

/**
 * Serves dist/web on a free port, with the headers of `npm start`. Build it first: `npm run build`.
 * @param {Record<string, string>} [environment] what `npm start` would find: HF_ENDPOINT, GRAFT_CONNECT_HOSTS
 * @param {number} [port] for a page of the same origin as one before
 * @returns {Promise<{ url: string, close(): Promise<void> }>} `url` ends with a slash
 */
export async function serveSite(environment = {}, port = 0) {
  const before = { ...process.env };
  Object.assign(process.env, environment); // vite.config.ts reads it when the server starts
  const server = await preview({ preview: { port }, logLevel: 'warn' });
  process.env = before;
  const address = server.httpServer.address();
  if (!address || typeof address === 'string') throw new Error('The preview server has no port.');
  return { url: `http://localhost:${address.port}/`, close: () => server.close() };
}

function chromiumPath() {
  const path = findChromium();
  if (!path) throw new Error('There is no Chromium here: run `npm test` once, or set CHROMIUM_PATH.');
  return path;
}

/** Headless Chromium with WebGPU on SwiftShader. */
export async function launchBrowser() {
  return chromium.launch({ executablePath: chromiumPath(), args: FLAGS });
}

/** The same with a profile that outlives it. @param {string} folder */
export async function launchProfile(folder) {
  return chromium.launchPersistentContext(folder, { executablePath: chromiumPath(), args: FLAGS });
}

/**
 * Collects what must not happen on a page: console errors (a broken policy and a missing file are such) and uncaught
 * exceptions.
 * @param {import('playwright-core').Page} page
 */
export function watchForProblems(page) {
  /** @type {string[]} */
  const problems = [];
  page.on('console', (message) => {
    if (message.type() === 'error') problems.push(`${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  return problems;
}
