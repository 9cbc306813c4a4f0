import { existsSync, readdirSync } from 'node:fs';
import { ESLint } from 'eslint';
import { describe, expect, test } from 'vitest';
import ts from 'typescript-eslint';

/** The arrows of ARCHITECTURE.md, written down a second time: from a layer to what it may import. */
const ARROWS: Record<string, string[]> = {
  'src/core': [],
  'src/engine': ['src/core'],
  'src/data': ['src/core'],
  'src/eval': ['src/core'],
  'src/formats': ['src/core'],
  'src/connections': ['src/core'],
  'src/hub': ['src/core', 'src/connections'],
  'src/storage': ['src/core'],
  'src/recipes': ['src/core', 'src/engine/types.ts', 'src/data', 'src/eval', 'src/formats', 'src/hub', 'src/storage'],
  'src/cli': ['src/core', 'src/connections', 'src/formats', 'src/hub', 'src/storage', 'src/recipes'],
  'src/ui': ['src/core', 'src/protocol'],
  workers: ['src/core', 'src/connections', 'src/formats', 'src/hub', 'src/storage', 'src/recipes', 'src/protocol'],
  'src/scripts': [],
};
const TARGETS = [...Object.keys(ARROWS), 'src/engine/types.ts', 'src/protocol', 'test/support'];

// Type information is off: the files linted here exist only in this test.
const eslint = new ESLint({ overrideConfig: [ts.configs.disableTypeChecked] });

/** Rules that object to `code` in a new file of `folder`. */
async function objections(folder: string, code: string, file = 'imagined.ts'): Promise<(string | null)[]> {
  const [result] = await eslint.lintText(code, { filePath: `${folder}/${file}` });
  return result!.messages.map((message) => message.ruleId);
}

const importing = (specifier: string) => `import * as x from '${specifier}';\nexport const y = x;\n`;

/** Any module of a layer: the rule looks only at files that exist. */
function someModule(target: string): string | undefined {
  if (!existsSync(target)) return undefined;
  if (target.endsWith('.ts')) return target;
  const file = readdirSync(target, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs)$/.test(name))
    .find((name) => !(target === 'src/engine' && /^(index|types)\.ts$/.test(name)));
  return file && `${target}/${file}`;
}

describe('imports between layers follow the arrows', () => {
  for (const [from, allowed] of Object.entries(ARROWS)) {
    for (const target of TARGETS) {
      const module = someModule(target);
      const free = from === target || allowed.includes(target) || target.startsWith(`${from}/`);
      test.skipIf(!module)(`${from} ${free ? 'may' : 'may not'} import ${target}`, async () => {
        const up = from.replace(/[^/]+/g, '..');
        const found = await objections(from, importing(`${up}/${module!.replace(/\.ts$/, '')}`));
        expect(found).toEqual(free ? [] : ['boundaries/dependencies']);
      });
    }
  }
});

describe('what comes from outside belongs to its layers', () => {
  const cases: [specifier: string, owner: string, stranger: string][] = [
    ['webgpu', 'src/cli', 'src/engine'],
    ['node:fs', 'src/cli', 'src/formats'],
    ['idb', 'src/storage', 'workers'],
    ['svelte', 'src/ui', 'src/core'],
    ['uplot', 'src/ui', 'src/data'],
    ['../../shaders/any.wgsl?raw', 'src/engine', 'src/recipes'],
  ];
  for (const [specifier, owner, stranger] of cases) {
    test(`${specifier} in ${owner}, not in ${stranger}`, async () => {
      expect(await objections(owner, importing(specifier))).toEqual([]);
      expect(await objections(stranger, importing(specifier))).toEqual(['no-restricted-imports']);
    });
  }
});

test('the protocol knows core and nothing else', async () => {
  expect(await objections('src/protocol', importing('../core/errors'), 'runs.ts')).toEqual([]);
  expect(await objections('src/protocol', importing('../engine/types'), 'runs.ts')).toEqual([
    'boundaries/dependencies',
  ]);
});

test('an import of types, a re-export and a dynamic import count as imports', async () => {
  const codes = [
    `import type { Engine } from '../engine/types';\nexport type E = Engine;\n`,
    `export * from '../engine/types';\n`,
    `export const load = () => import('../engine/types');\n`,
  ];
  for (const code of codes) expect(await objections('src/data', code)).toEqual(['boundaries/dependencies']);
});

test('only the page and its own files touch the DOM', async () => {
  const code = `export const title = document.title;\n`;
  expect(await objections('src/ui', code)).toEqual([]);
  expect(await objections('src/engine', code)).toEqual(['no-restricted-globals']);
});

test('a file of more than 500 lines is refused', async () => {
  const lines = (count: number) => `${'export {};\n'.repeat(count)}`;
  expect(await objections('src/core', lines(500))).toEqual([]);
  expect(await objections('src/core', lines(501))).toEqual(['max-lines']);
});

test('no file imports itself by way of others, imports of types included', async () => {
  const closing = `import type { Watch } from './text-jobs';\nexport type Circle = Watch;\n`;
  expect(await objections('src/ui/client', closing, 'watch.ts')).toEqual(['graft/no-import-circle']);
  expect(await objections('src/ui/client', importing('./worker-client'), 'watch.ts')).toEqual([]);
});

test("each feature's room is told from its name: a service in a worker, a folder of the page", () => {
  const names = (folder: string) => readdirSync(folder).map((name) => name.replace(/\.ts$/, ''));
  // How jobs and workers speak; and opening a model and asking a question as tokens, which other features show.
  const inside = ['jobs', 'workers', 'opening', 'prompts'];
  const features = names('src/protocol').filter((name) => !inside.includes(name));
  expect(names('workers/services').filter((name) => !inside.includes(name))).toEqual(features);
  expect(names('src/ui/features')).toEqual(features);
});
