/**
 * WebGPU for Node: Dawn, from the npm package `webgpu`, on the best Vulkan driver of the machine. Dawn puts a real GPU
 * before Mesa's CPU driver (lavapipe, from Mesa 25 on); without either there is Chromium's SwiftShader.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GraftError } from '../core/errors';
import { openEngine, type Engine } from '../recipes';
import { cacheFolder } from './cache-folder';
import { deviceOptions } from './device-options';
import { dozeWhileWaiting } from './doze';
import { kernelChoicesIn } from './kernel-choices';

/** Where Chromium and Chrome keep SwiftShader. */
const CHROMIUM_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/opt/google/chrome'];
const SWIFTSHADER_MANIFEST = 'vk_swiftshader_icd.json';

/** Browsers round GPU timestamps against fingerprinting; here the program is the user's own. */
const EXACT_CLOCK = 'disable-dawn-features=timestamp_quantization';

// Dawn's objects must outlive every promise and buffer made from them, up to the end of the process.
const keepAlive = new Set<GPU>();

/**
 * Opens the engine, and says on which GPU. `GRAFT_ADAPTER` asks for an adapter by a part of its name (`swiftshader` for
 * that one), `VK_DRIVER_FILES` or `VK_ICD_FILENAMES` for a Vulkan driver; `device-options.ts` has more.
 * @throws `no-webgpu` with what to install.
 */
export async function openNodeEngine(say: (line: string) => void, afterLoss = false): Promise<Engine> {
  const gpu = await findGpu(process.env['GRAFT_ADAPTER']);
  const softwareMemoryBytes = process.availableMemory();
  const kernelChoices = kernelChoicesIn(cacheFolder(process.env));
  const engine = await openEngine(gpu, {
    ...deviceOptions(process.env),
    softwareMemoryBytes,
    afterLoss,
    kernelChoices,
  });
  const { description, software } = engine.info;
  say(`GPU: ${description || 'one without a name'}${software ? ' (software: everything works, slowly)' : ''}`);
  return engine;
}

/** The GPU of this process, by a part of its name; the best there is where none is wanted. */
export async function findGpu(wanted: string | undefined): Promise<GPU> {
  const chosen = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
  const swiftShader = findSwiftShader();
  if (chosen === undefined && swiftShader && /swiftshader/i.test(wanted ?? '')) useDriver(swiftShader);
  const gpu = await adapterOf(wanted && !/swiftshader/i.test(wanted) ? [`adapter=${wanted}`] : []);
  if (gpu) return gpu;
  if (chosen === undefined && wanted === undefined && swiftShader) {
    useDriver(swiftShader);
    const software = await adapterOf([]);
    if (software) return software;
  }
  const which = wanted ?? chosen;
  throw new GraftError(
    'no-webgpu',
    which === undefined
      ? 'No GPU driver was found: install a Vulkan driver, or mesa-vulkan-drivers 25 or later for a software one.'
      : `No GPU driver answers to ${which}: unset GRAFT_ADAPTER and VK_DRIVER_FILES to take the best there is.`,
  );
}

async function adapterOf(options: string[]): Promise<GPU | undefined> {
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  dozeWhileWaiting(globals);
  const gpu = create([...options, EXACT_CLOCK]);
  keepAlive.add(gpu);
  // Dawn throws where no adapter has the name that was asked for.
  const adapter = await Promise.resolve(gpu.requestAdapter({ powerPreference: 'high-performance' })).catch(() => null);
  return adapter ? gpu : undefined;
}

/** The Vulkan loader reads these when Dawn first asks it; older loaders know the second name only. */
function useDriver(manifest: string): void {
  process.env['VK_DRIVER_FILES'] = manifest;
  process.env['VK_ICD_FILENAMES'] = manifest;
}

function findSwiftShader(): string | undefined {
  const chromium = process.env['CHROMIUM_PATH'];
  return [...(chromium ? [dirname(chromium)] : []), ...CHROMIUM_FOLDERS]
    .map((folder) => join(folder, SWIFTSHADER_MANIFEST))
    .find((path) => existsSync(path));
}
