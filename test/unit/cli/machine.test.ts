/** What the test runner installs for the whole system: on a system of this test's own, whose apt writes down its calls. */
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const POLICY = `chromium:
  Installed: (none)
  Candidate: 139.0.1-1
  Version table:
     139.0.1-1 500
        500 http://deb.example.org/debian stable/main amd64 Packages
     120.0.0-1 500
        500 http://old.example.org/debian oldstable/main amd64 Packages
`;

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'graft-machine-'));
  mkdirSync(join(root, 'bin'));
  const program = (name: string, script: string) => {
    writeFileSync(join(root, 'bin', name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(root, 'bin', name), 0o755);
  };
  const log = join(root, 'log');
  program('sudo', 'shift; exec "$@"');
  program('true', 'exit 0');
  program('apt-get', `echo "ran apt-get $*" >> "${log}"`);
  program('apt-cache', `printf '%s' "${POLICY}"`);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** What asking for Chromium says and runs, line by line in the order in which it happens. */
function ensureChromium(environment: NodeJS.ProcessEnv): string[] {
  const module = pathToFileURL(resolve('test/support/machine.mjs')).href;
  const script = `import { ensureChromium } from '${module}';
    try { ensureChromium(); } catch (error) { console.log('thrown: ' + error.message); }`;
  rmSync(join(root, 'log'), { force: true });
  const log = openSync(join(root, 'log'), 'a'); // two processes write to it
  spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', log, log],
    env: { PATH: `${join(root, 'bin')}:/nowhere`, ...environment },
  });
  closeSync(log);
  return readFileSync(join(root, 'log'), 'utf8').trimEnd().split('\n');
}

describe.skipIf(process.platform === 'win32')('a browser that is missing', () => {
  test('is installed after saying what, how and from where', () => {
    const [announced, updated, from, , ran] = ensureChromium({});
    expect(announced).toMatch(/need Chromium: installing it for the whole system with .*apt-get\. GRAFT_INSTALL=no/);
    expect(updated).toBe('ran apt-get update -q');
    expect(from).toBe('Installing chromium 139.0.1-1 from http://deb.example.org/debian stable/main …');
    expect(ran).toMatch(/^ran apt-get install .*chromium fonts-liberation$/);
  });

  test('is only named with GRAFT_INSTALL=no', () => {
    expect(ensureChromium({ GRAFT_INSTALL: 'no' })).toEqual([
      'thrown: There is no Chromium here, and GRAFT_INSTALL=no forbids to install it: install one, or set CHROMIUM_PATH to one.',
    ]);
  });
});
