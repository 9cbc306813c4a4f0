/** Where this machine keeps a browser and Vulkan drivers. Plain JavaScript: the test runner needs it before anything is built. */
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';

const CHROMIUM_NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome'];
const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];

/** Path of a Chromium or Chrome: `CHROMIUM_PATH`, else the first on `PATH`; undefined where there is none. */
export function findChromium() {
  const chosen = process.env['CHROMIUM_PATH'];
  if (chosen) return existsSync(chosen) ? chosen : undefined;
  return findProgram(CHROMIUM_NAMES);
}

/** Path of the first of these programs on `PATH`; undefined where there is none. @param {readonly string[]} names */
export function findProgram(names) {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find((path) => existsSync(path));
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
