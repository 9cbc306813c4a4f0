/** Where this machine keeps browsers and Vulkan drivers. Plain JavaScript: the test runner needs it before anything is built. */
import { existsSync, readdirSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const FIREFOX_NAMES = ['firefox-esr', 'firefox'];
const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

const VULKAN_FOLDERS = ['/usr/share/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/etc/vulkan/icd.d'];

/** Path of a Chromium or Chrome: `CHROMIUM_PATH`, else the first on `PATH`; undefined where there is none. */
export function findChromium() {
  const chosen = process.env['CHROMIUM_PATH'];
  if (chosen) return existsSync(chosen) ? chosen : undefined;
  return findProgram(CHROMIUM_NAMES);
}

/** Path of a Firefox: `FIREFOX_PATH`, else the first on `PATH`; undefined where there is none. */
export function findFirefox() {
  const chosen = process.env['FIREFOX_PATH'];
  if (chosen) return existsSync(chosen) ? chosen : undefined;
  return findProgram(FIREFOX_NAMES);
}

/** Path of the first of these programs on `PATH`; undefined where there is none. @param {readonly string[]} names */
export function findProgram(names) {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
}

/** Vulkan driver manifest of lavapipe, Mesa's CPU driver; undefined where there is none. */
function findLavapipe() {
  return VULKAN_FOLDERS.filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
    .find((path) => /lvp_icd[^/]*\.json$/.test(path));
}

/** Vulkan driver manifest of SwiftShader, the CPU driver that Chromium ships; undefined where there is none. */
function findSwiftShader() {
  const chromium = process.env['CHROMIUM_PATH'];
  return [...(chromium ? [dirname(chromium)] : []), ...CHROMIUM_FOLDERS]
    .map((folder) => join(folder, 'vk_swiftshader_icd.json'))
    .find((path) => existsSync(path));
}

/**
 * Environment under which a process sees one Vulkan driver only. Older loaders know the second name.
 * @param {string} manifest path of the driver's ICD manifest
 */
function onlyDriver(manifest) {
  return { VK_DRIVER_FILES: manifest, VK_ICD_FILENAMES: manifest };
}

/** Environment under which Dawn runs on the same software GPU as the test browser's page; undefined without Chromium. */
export function swiftShaderEnvironment() {
  const manifest = findSwiftShader();
  return manifest && onlyDriver(manifest);
}

/** Environment under which a program runs on Mesa's CPU driver, the same on every machine; undefined without Mesa. */
export function lavapipeEnvironment() {
  const manifest = findLavapipe();
  return manifest && onlyDriver(manifest);
}
