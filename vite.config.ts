import { chmodSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import type { ViteUserConfig } from 'vitest/config';
import { buildFolder } from './src/scripts/build-folder.mjs';
import { keepPage, RELEASE_VERSION, releaseVersion } from './src/scripts/keep-page.mjs';

const ownFolder = import.meta.dirname;
const projectFolder = buildFolder(ownFolder);
const fromRoot = (path: string) => join(projectFolder, path);

/** Through a link, files keep the names that they have there. */
const resolve = { preserveSymlinks: projectFolder !== ownFolder };

/**
 * Where the page may connect to: its own origin, the Hub, the hosts that the Hub's downloads redirect to, and what
 * whoever builds or serves the page adds in GRAFT_CONNECT_HOSTS (also read as GRAFT_HUB_HOSTS). A policy can't change while
 * the page is open. HF_ENDPOINT names the Hub that the page begins with, which is allowed with it.
 */
const { HF_ENDPOINT, GRAFT_CONNECT_HOSTS, GRAFT_HUB_HOSTS } = process.env;
const HUGGING_FACE = 'https://huggingface.co';
const hub = checkHub(HF_ENDPOINT || HUGGING_FACE);

/** It is written into the page: a password or a token in it would be public. The message doesn't repeat it either. */
function checkHub(address: string): string {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const isPlain = url && url.username + url.password + url.search + url.hash === '';
  if (isPlain && /^https?:$/.test(url.protocol)) return `${url.origin}${url.pathname}`.replace(/\/+$/, '');
  throw new Error(
    `HF_ENDPOINT is no address of a Hub: give a URL such as ${HUGGING_FACE}, without a user name or a query.`,
  );
}

/** A host as a policy names it (CSP Level 3, host-source): anything else could end the directive and begin another. */
function checkHost(host: string): string {
  if (/^https?:\/\/(\*\.)?[\w.-]+(:(\d+|\*))?$|^http:\/\/\[[\da-f:]+\](:\d+)?$/i.test(host)) return host;
  // It isn't repeated: there may be a password in it.
  throw new Error(
    'An entry of GRAFT_CONNECT_HOSTS is no host to connect to: write it as https://host, https://host:port or https://*.domain.',
  );
}

const connectHosts = [
  new URL(hub).origin,
  ...['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'],
  ...`${GRAFT_CONNECT_HOSTS ?? ''} ${GRAFT_HUB_HOSTS ?? ''}`.split(/[\s,]+/).filter(Boolean),
].map(checkHost);

const policy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  // A worker started from a blob has the policy of its page, see src/ui/client/start-worker.ts.
  "worker-src 'self' blob:",
  `connect-src 'self' ${[...new Set(connectHosts)].join(' ')}`,
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

/** `frame-ancestors` and what concerns other windows take effect as headers alone. */
const headers: Record<string, string> = {
  'Content-Security-Policy': `${policy}; frame-ancestors 'none'`,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
};

/** The page's own copy of the policy, for hosts that send no headers of ours, and the Hub that it begins with. */
const metas =
  `<meta http-equiv="Content-Security-Policy" content="${policy}" />` +
  '<meta name="referrer" content="no-referrer" />' +
  `<meta name="graft-hub" content="${hub.replace(/[&"<>]/g, encodeURIComponent)}" />`;
const BEFORE_METAS = '<meta charset="utf-8" />';
const AFTER_METAS = '<meta name="viewport"';

/** The page with these elements in its head, in place of those that an earlier build gave it. */
function withMetas(html: string): string {
  const [start, end] = [html.indexOf(BEFORE_METAS) + BEFORE_METAS.length, html.indexOf(AFTER_METAS)];
  if (start < BEFORE_METAS.length || end < start) throw new Error('index.html has no place for the policy.');
  return `${html.slice(0, start)}\n    ${metas}\n    ${html.slice(end)}`;
}

const policyInPage: Plugin = {
  name: 'graft:policy-in-page',
  apply: 'build', // while it is developed, the page takes what Vite injects
  transformIndexHtml: { order: 'post', handler: withMetas },
};

/**
 * The page's first script is small and asks for the rest of the page: the browser is told of that beforehand, so that all of
 * it comes at once.
 */
const preloadPage: Plugin = {
  name: 'graft:preload-page',
  apply: 'build',
  transformIndexHtml: {
    order: 'post',
    handler(_, { bundle = {} }) {
      const files = new Set<string>();
      const collect = (file: string) => {
        const chunk = bundle[file];
        if (chunk?.type !== 'chunk' || chunk.isEntry || files.has(file)) return;
        files.add(file);
        chunk.viteMetadata?.importedCss.forEach((css) => files.add(css));
        chunk.imports.forEach(collect);
      };
      const rest = Object.values(bundle).find((file) => file.type === 'chunk' && file.name === 'mount-app');
      if (!rest) throw new Error('The page has no script that mounts it.');
      collect(rest.fileName);
      return [...files].map((file) => ({
        tag: 'link',
        injectTo: 'head' as const,
        attrs: { rel: file.endsWith('.css') ? 'stylesheet' : 'modulepreload', crossorigin: true, href: `./${file}` },
      }));
    },
  },
};

const built = (file: string) => readFileSync(fromRoot(`dist/web/${file}`), 'utf8');

/**
 * What `npm start` with other hosts than those of the build serves otherwise: the page with these, and its service worker
 * under another version, as a browser has kept the page with the policy that it had.
 */
const OWN_ANSWERS: Record<string, { type: string; make: () => string }> = {
  '/': { type: 'text/html', make: () => withMetas(built('index.html')) },
  '/service-worker.js': {
    type: 'text/javascript',
    make: () => built('service-worker.js').replace(RELEASE_VERSION, (version) => releaseVersion(version + metas)),
  },
};

const policyOfServer: Plugin = {
  name: 'graft:policy-of-server',
  configurePreviewServer(server) {
    server.middlewares.use((request, response, next) => {
      const path = new URL(request.url ?? '/', 'http://x').pathname;
      const own = OWN_ANSWERS[path === '/index.html' ? '/' : path];
      if (!own) return next();
      response.writeHead(200, { ...headers, 'Content-Type': own.type, 'Cache-Control': 'no-cache' });
      response.end(own.make());
    });
  },
};

/** Writes the same headers where static hosts (Netlify, Cloudflare Pages) look for them. */
const headersFile: Plugin = {
  name: 'graft:headers-file',
  generateBundle() {
    const lines = Object.entries(headers).map(([name, value]) => `  ${name}: ${value}\n`);
    this.emitFile({ type: 'asset', fileName: '_headers', source: `/*\n${lines.join('')}` });
  },
};

/** Makes the built command line a program: npm links to it, and a rebuilt file would lose the mode. */
const executable: Plugin = {
  name: 'graft:executable',
  writeBundle: ({ dir }) => chmodSync(`${dir}/graft.js`, 0o755),
};

/** How long plugins took is of no use to whoever starts Graft. */
const checks = { bundlerTimings: false };

const page: UserConfig = {
  resolve,
  root: fromRoot('src/ui'),
  base: './',
  // Not a single-page app: a missing model file must be a 404, not index.html.
  appType: 'mpa',
  publicDir: fromRoot('public'),
  plugins: [
    svelte({ configFile: false }),
    policyInPage,
    preloadPage,
    policyOfServer,
    headersFile,
    keepPage(fromRoot('src/ui/offline/service-worker.ts'), fromRoot('dist/web')),
  ],
  worker: { format: 'es', rolldownOptions: { checks } },
  build: {
    outDir: fromRoot('dist/web'),
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    rolldownOptions: { checks },
  },
  server: { fs: { allow: [fromRoot('.')] } },
  preview: { host: 'localhost', port: Number(process.env['PORT'] || 4173), headers },
};

const commandLine: UserConfig = {
  root: projectFolder,
  resolve,
  publicDir: false,
  plugins: [executable],
  build: {
    ssr: fromRoot('src/cli/main.ts'),
    outDir: fromRoot('dist/cli'),
    emptyOutDir: true,
    target: 'node20',
    rolldownOptions: { checks, output: { entryFileNames: 'graft.js', chunkFileNames: '[name]-[hash].js' } },
  },
};

const benches: UserConfig = {
  root: projectFolder,
  resolve,
  publicDir: false,
  // What the benches compare Graft with is installed beside them, where the built file wouldn't find it; and TensorFlow.js
  // keeps its gradients in a module that Node can't load by itself.
  ssr: { noExternal: true, external: ['webgpu'] },
  build: {
    ssr: fromRoot('test/bench/main.ts'),
    outDir: fromRoot('dist/bench'),
    emptyOutDir: true,
    target: 'node20',
    rolldownOptions: { checks, output: { entryFileNames: 'bench.js', chunkFileNames: '[name]-[hash].js' } },
  },
};

/** The card kit: all that it needs but `webgpu` in one folder, to be carried to a machine with a GPU. */
const cardKit: UserConfig = {
  ...benches,
  build: {
    ssr: true,
    outDir: fromRoot('dist/card'),
    emptyOutDir: true,
    target: 'node20',
    rolldownOptions: {
      input: { card: fromRoot('test/card/card.ts'), part: fromRoot('test/card/part.ts') },
      output: { entryFileNames: '[name].mjs', chunkFileNames: '[name]-[hash].mjs' },
    },
  },
};

/** GPU and browser tests share two cores with their own software GPU, and Dawn wants a process of its own. */
const tests: ViteUserConfig = {
  plugins: [svelte({ configFile: false })],
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // lavapipe compiles a kernel at its first dispatch; for narrow vectors that takes half as long, and tests compute little.
    // Mesa's cache of compiled kernels doesn't tell widths apart, so these stay out of the one that everything else uses.
    env: { LP_NATIVE_VECTOR_WIDTH: '128', MESA_SHADER_CACHE_DIR: fromRoot('test/results') },
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/{unit,fuzz}/**/*.test.ts'],
          exclude: ['**/*.gpu.test.ts'],
          testTimeout: 60_000,
        },
      },
      {
        extends: true,
        test: { name: 'gpu', include: ['test/unit/**/*.gpu.test.ts'], testTimeout: 300_000, hookTimeout: 120_000 },
      },
      {
        extends: true,
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 120_000,
          // A browser whose GPU process is crashed on purpose doesn't come back in the same time on every machine.
          retry: 1,
        },
      },
    ],
  },
};

const MODES: Record<string, UserConfig> = { cli: commandLine, bench: benches, card: cardKit, test: tests };

export default defineConfig(({ mode }) => MODES[mode] ?? page);
