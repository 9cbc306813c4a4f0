/**
 * What the tests need beside npm packages: Chromium and a Vulkan driver. On Debian and Ubuntu, as root or with a
 * sudo that asks nothing, what is missing is installed; elsewhere a sentence says what to install.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findChromium } from './drivers.mjs';

/** The oldest Mesa whose CPU driver Dawn accepts. */
const OLDEST_MESA = 25;
const APT_SOURCES = '/etc/apt/sources.list.d';

/** @param {string} command @param {string[]} args @param {object} [options] */
function output(command, args, options) {
  return spawnSync(command, args, { encoding: 'utf8', ...options }).stdout ?? '';
}

const isRoot = process.getuid?.() === 0;

/** Runs a command as root and shows what it says only where it fails. @param {string[]} command @param {string} [input] */
function asRoot(command, input = '') {
  const [program, ...args] = isRoot ? command : ['sudo', '-n', ...command];
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const { status, stdout, stderr } = spawnSync(/** @type {string} */ (program), args, { encoding: 'utf8', input, env });
  if (status !== 0) console.error(`${command.join(' ')} failed:\n${stdout}${stderr}`);
  return status === 0;
}

function canInstall() {
  return existsSync('/usr/bin/apt-get') && (isRoot || spawnSync('sudo', ['-n', 'true']).status === 0);
}

/** @param {string[]} args packages and options */
function aptInstall(...args) {
  console.log(`Installing ${args.filter((arg) => !arg.startsWith('-')).join(', ')} …`);
  return asRoot(['apt-get', 'install', '-y', '-q', '--no-install-recommends', ...args]);
}

/** Major version of the Mesa that apt would install, 0 where it knows none. */
function mesaCandidate() {
  return Number(/Candidate: (?:\d+:)?(\d+)/.exec(output('apt-cache', ['policy', 'mesa-vulkan-drivers']))?.[1] ?? 0);
}

/** The Debian mirror that this machine already uses; undefined where it uses none. */
function debianMirror() {
  const files = existsSync(APT_SOURCES) ? readdirSync(APT_SOURCES).map((file) => `${APT_SOURCES}/${file}`) : [];
  const text = ['/etc/apt/sources.list', ...files.filter((file) => /\.(list|sources)$/.test(file))]
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
  return /^(?:URIs:|deb(?: \[[^\]]*\])?)\s+(\S+\/debian)\/?(?:\s|$)/m.exec(text)?.[1];
}

/** Adds Debian's backports of this release as a package source. Returns apt's name for it, undefined elsewhere. */
function addBackports() {
  const release = readFileSync('/etc/os-release', 'utf8');
  const codename = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1];
  const mirror = debianMirror();
  if (!/^ID=debian$/m.test(release) || !codename || !mirror) return undefined;
  const suite = `${codename}-backports`;
  if (!output('apt-cache', ['policy']).includes(suite)) {
    asRoot(['tee', `${APT_SOURCES}/${suite}.list`], `deb ${mirror} ${suite} main\n`);
    asRoot(['apt-get', 'update', '-q']);
  }
  return suite;
}

function installMesa() {
  asRoot(['apt-get', 'update', '-q']);
  if (mesaCandidate() >= OLDEST_MESA) return aptInstall('mesa-vulkan-drivers', 'libvulkan1');
  const backports = addBackports();
  return backports !== undefined && aptInstall('mesa-vulkan-drivers', 'libvulkan1', `--target-release=${backports}`);
}

/** @returns {{ name: string, software: boolean } | undefined} the GPU that tests run on */
function probe() {
  const script = fileURLToPath(new URL('probe.mjs', import.meta.url));
  const line = output(process.execPath, [script], { stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  return line ? (JSON.parse(line) ?? undefined) : undefined;
}

/** Returns the browser's path; throws where there is none and none can be installed. */
export function ensureChromium() {
  if (!findChromium() && canInstall()) {
    asRoot(['apt-get', 'update', '-q']);
    aptInstall('chromium', 'fonts-liberation');
  }
  const path = findChromium();
  if (!path) throw new Error('There is no Chromium here: install one, or set CHROMIUM_PATH to one.');
  return path;
}

/**
 * A real GPU is used as it stands. Where there is none, Mesa's CPU driver is worth installing even if SwiftShader
 * works: it is faster and has `shader-f16`.
 * @returns {{ name: string, software: boolean }}
 */
export function ensureGpu() {
  let found = probe();
  if ((!found || /swiftshader/i.test(found.name)) && !process.env['VK_DRIVER_FILES'] && canInstall()) {
    if (installMesa()) found = probe();
  }
  if (!found) throw new Error(`No Vulkan driver works here: install one, for example Mesa ${OLDEST_MESA} or later.`);
  return found;
}
