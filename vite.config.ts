import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import type { ViteUserConfig } from 'vitest/config';
import { buildFolder } from './src/scripts/build-folder.mjs';

const ownFolder = import.meta.dirname;
const projectFolder = buildFolder(ownFolder);
const fromRoot = (path: string) => join(projectFolder, path);

/** Through a link, files keep the names that they have there. */
const resolve = { preserveSymlinks: projectFolder !== ownFolder };

/**
 * Where models come from: the Hub and the hosts that its downloads redirect to. A policy can't change while the page is
 * open, so a mirror is allowed by whoever serves the page: HF_ENDPOINT is its address, and what its downloads redirect to
 * is listed in GRAFT_HUB_HOSTS. The page takes the first one as its Hub (workers/policy.ts) and offers no other.
 */
const { HF_ENDPOINT: mirror, GRAFT_HUB_HOSTS: mirrorHosts = '' } = process.env;
const hubHosts = [
  ...(mirror ? [new URL(mirror).origin] : []),
  ...['https://huggingface.co', 'https://*.huggingface.co', 'https://*.hf.co'],
  ...mirrorHosts.split(/[\s,]+/).filter(Boolean),
];

const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  `connect-src 'self' ${hubHosts.join(' ')}`,
  "img-src 'self' data: blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Sent with every response, scripts of workers included: a worker takes its policy from its own script's headers. */
const headers: Record<string, string> = {
  'Content-Security-Policy': contentSecurityPolicy,
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
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

const page: UserConfig = {
  resolve,
  root: fromRoot('src/ui'),
  base: './',
  // Not a single-page app: a missing model file must be a 404, not index.html.
  appType: 'mpa',
  publicDir: fromRoot('public'),
  plugins: [svelte({ configFile: false }), headersFile],
  worker: { format: 'es' },
  build: { outDir: fromRoot('dist/web'), emptyOutDir: true, target: 'es2023', assetsInlineLimit: 0 },
  server: { fs: { allow: [fromRoot('.')] } },
  preview: { host: 'localhost', port: Number(process.env['PORT'] ?? 4173), headers },
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
    rolldownOptions: { output: { entryFileNames: 'graft.js', chunkFileNames: '[name]-[hash].js' } },
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
    rolldownOptions: { output: { entryFileNames: 'bench.js', chunkFileNames: '[name]-[hash].js' } },
  },
};

/** GPU and browser tests share two cores with their own software GPU, and Dawn wants a process of its own. */
const tests: ViteUserConfig = {
  plugins: [svelte({ configFile: false })],
  test: {
    pool: 'forks',
    maxWorkers: 2,
    // lavapipe compiles a kernel at its first dispatch; for narrow vectors that takes half as long, and tests compute little.
    env: { LP_NATIVE_VECTOR_WIDTH: '128' },
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
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 120_000,
          // A browser whose GPU process is crashed on purpose doesn't come back in the same time on every machine.
          retry: 1,
        },
      },
    ],
  },
};

const MODES: Record<string, UserConfig> = { cli: commandLine, bench: benches, test: tests };

export default defineConfig(({ mode }) => MODES[mode] ?? page);
