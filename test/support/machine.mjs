/**
 * What the tests need beside npm packages: Chromium, Firefox and a Vulkan driver. On Debian and Ubuntu, as root or with a
 * sudo that asks nothing, what is missing is installed for the whole system, after saying what and from where; elsewhere,
 * or with `GRAFT_INSTALL=no`, a sentence says what is missing.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { findChromium, findFirefox, findProgram } from './drivers.mjs';

/** The oldest Mesa whose CPU driver Dawn accepts. */
const OLDEST_MESA = 25;
const MESA_PACKAGES = ['mesa-vulkan-drivers', 'libvulkan1'];
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

const isForbidden = () => process.env['GRAFT_INSTALL'] === 'no';

/** What a message about something missing adds where the user forbade to install it. */
const forbidden = () => (isForbidden() ? ', and GRAFT_INSTALL=no forbids to install it' : '');

function canInstall() {
  if (isForbidden() || !findProgram(['apt-get'])) return false;
  return isRoot || spawnSync('sudo', ['-n', 'true']).status === 0;
}

/** Says what is about to change on the whole system, before anything does. @param {string} what */
function announce(what) {
  const how = isRoot ? 'apt-get' : 'sudo apt-get';
  console.log(`The tests need ${what}: installing it for the whole system with ${how}. GRAFT_INSTALL=no forbids that.`);
  asRoot(['apt-get', 'update', '-q']);
}

/**
 * Installs packages, after a line for each that says its version and the package source that has it.
 * @param {string[]} packages @param {string} [release] where they come from; this system's own release by default
 */
function aptInstall(packages, release) {
  for (const name of packages) {
    const { version, source } = aptCandidate(name, release);
    console.log(`Installing ${name}${version && ` ${version}`}${source && ` from ${source}`} …`);
  }
  const target = release === undefined ? [] : [`--target-release=${release}`];
  return asRoot(['apt-get', 'install', '-y', '-q', '--no-install-recommends', ...packages, ...target]);
}

/**
 * The version of a package that apt would install, and where it would get it from; empty texts where it knows none.
 * @param {string} name @param {string} [release]
 */
function aptCandidate(name, release) {
  const target = release === undefined ? [] : ['-t', release];
  const policy = output('apt-cache', [...target, 'policy', name]);
  const version = /Candidate: (\S+)/.exec(policy)?.[1] ?? '';
  // A table of versions follows, each with the sources that have it: `500 http://deb.debian.org/debian stable/main …`.
  const rows = policy.split('\n');
  const own = rows.findIndex((row) => /^[ *]{5}/.test(row) && row.slice(5).split(' ')[0] === version);
  const source = /^ +-?\d+ (\w+:\S+ \S+)/.exec(own < 0 ? '' : (rows[own + 1] ?? ''))?.[1] ?? '';
  return { version, source };
}

/** Major version of the Mesa that apt would install, 0 where it knows none. */
function mesaCandidate() {
  return Number(/^(?:\d+:)?(\d+)/.exec(aptCandidate('mesa-vulkan-drivers').version)?.[1] ?? 0);
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
    console.log(`Adding the package source ${mirror} ${suite} to ${APT_SOURCES}/${suite}.list …`);
    asRoot(['tee', `${APT_SOURCES}/${suite}.list`], `deb ${mirror} ${suite} main\n`);
    asRoot(['apt-get', 'update', '-q']);
  }
  return suite;
}

function installMesa() {
  announce(`a Vulkan driver (Mesa ${OLDEST_MESA} or later)`);
  if (mesaCandidate() >= OLDEST_MESA) return aptInstall(MESA_PACKAGES);
  const backports = addBackports();
  return backports !== undefined && aptInstall(MESA_PACKAGES, backports);
}

/** @returns {{ name: string, software: boolean } | undefined} the GPU that tests run on */
function probe() {
  const script = fileURLToPath(new URL('probe.mjs', import.meta.url));
  const line = output(process.execPath, [script], { stdio: ['ignore', 'pipe', 'ignore'] }).trim();
  return line ? (JSON.parse(line) ?? undefined) : undefined;
}

/**
 * Returns the path of a browser, after installing it where it is missing; throws where there is none then.
 * @param {string} name @param {() => string | undefined} find @param {string[]} packages @param {string} variable
 */
function ensureBrowser(name, find, packages, variable) {
  if (!find() && canInstall()) {
    announce(name);
    aptInstall(packages);
  }
  const path = find();
  if (!path) throw new Error(`There is no ${name} here${forbidden()}: install one, or set ${variable} to one.`);
  return path;
}

/** Returns the browser's path; throws where there is none and none can be installed. */
export const ensureChromium = () =>
  ensureBrowser('Chromium', findChromium, ['chromium', 'fonts-liberation'], 'CHROMIUM_PATH');

/** The same of Firefox: Debian's long-term version has what newer ones have of WebGPU. */
export const ensureFirefox = () => ensureBrowser('Firefox', findFirefox, ['firefox-esr'], 'FIREFOX_PATH');

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
  if (!found)
    throw new Error(
      `No Vulkan driver works here${forbidden()}: install one, for example Mesa ${OLDEST_MESA} or later.`,
    );
  return found;
}
