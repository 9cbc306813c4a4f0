/** The scripts that install, build and serve, wherever the project lies. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { modulesAreCurrent } from '../../../src/scripts/modules.mjs';

let root: string;
beforeAll(() => (root = mkdtempSync(join(tmpdir(), 'graft-folder-'))));
afterAll(() => rmSync(root, { recursive: true, force: true }));

test('builds in a folder whose name has a space, a # and a %', () => {
  const folder = join(root, 'a b #c 20%25');
  for (const entry of ['src', 'shaders', 'workers', 'package.json', 'vite.config.ts', 'tsconfig.json']) {
    cpSync(entry, join(folder, entry), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'), 'junction');
  const vite = join(folder, 'node_modules/vite/bin/vite.js');
  const built = spawnSync(process.execPath, [vite, 'build', '--mode', 'cli', '--logLevel', 'error'], {
    cwd: folder,
    encoding: 'utf8',
  });
  expect(built.stderr).toBe('');
  const asked = spawnSync(process.execPath, [join(folder, 'dist/cli/graft.js'), '--version'], { encoding: 'utf8' });
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
  expect([asked.stdout, asked.status]).toEqual([`${version}\n`, 0]);
});

test('packages are missing where a version differs, and those of tests only where tests want them', () => {
  const folder = join(root, 'packages');
  const locked = {
    '': {},
    'node_modules/vite': { version: '8.0.0' },
    'node_modules/eslint': { version: '10.0.0', dev: true },
    'node_modules/@binary/other-platform': { version: '1.0.0', optional: true },
  };
  mkdirSync(join(folder, 'node_modules'), { recursive: true });
  writeFileSync(join(folder, 'package-lock.json'), JSON.stringify({ packages: locked }));
  const install = (packages: object) =>
    writeFileSync(join(folder, 'node_modules/.package-lock.json'), JSON.stringify({ packages }));

  expect(modulesAreCurrent(join(root, 'none'), false)).toBe(false);
  install({ 'node_modules/vite': { version: '8.0.0' } });
  expect([modulesAreCurrent(folder, false), modulesAreCurrent(folder, true)]).toEqual([true, false]);
  install({ 'node_modules/vite': { version: '7.0.0' } });
  expect(modulesAreCurrent(folder, false)).toBe(false);
});

test('npm start refuses a port that is none in one sentence, before it installs or builds', () => {
  for (const PORT of ['abc', '70000', '0', '-1']) {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['src/scripts/start.mjs'], {
      env: { ...process.env, PORT },
      encoding: 'utf8',
    });
    expect([status, stdout]).toEqual([1, '']);
    expect(stderr).toBe(`PORT is "${PORT}": set it to a number from 1 to 65535, or not at all.\n`);
  }
});

test('what npm start installs holds nothing that only tests and benches need', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: object };
  const names = Object.keys(dependencies);
  expect(names).toContain('vite');
  expect(names.filter((name) => /tensorflow|jax|eslint|vitest|playwright|typescript/.test(name))).toEqual([]);
});
