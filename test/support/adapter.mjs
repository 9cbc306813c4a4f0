/** Opens the GPU that tests run on. Plain JavaScript: the test runner asks what is there before it starts vitest. */
import { create, globals } from 'webgpu';
import { swiftShaderEnvironment } from './drivers.mjs';

// Dawn's objects must outlive every promise and buffer made from them, up to the end of the process.
const keepAlive = new Set();

/** @param {string[]} options Dawn's options, for example `backend=null` */
function createGpu(options) {
  Object.assign(globalThis, globals);
  const gpu = create(options);
  keepAlive.add(gpu);
  return gpu;
}

/**
 * The best adapter of the machine: what the installed Vulkan drivers offer (Dawn puts a real GPU before Mesa's CPU
 * driver, and refuses a Mesa older than 25), else Chromium's SwiftShader. `VK_DRIVER_FILES` narrows the choice.
 * @returns {Promise<{ gpu: GPU, name: string, software: boolean } | undefined>} undefined where no driver works
 */
export async function openAdapter() {
  const chosen = process.env['VK_DRIVER_FILES'] ?? process.env['VK_ICD_FILENAMES'];
  for (const environment of chosen ? [{}] : [{}, swiftShaderEnvironment()]) {
    if (!environment) continue;
    Object.assign(process.env, environment);
    const gpu = createGpu([]);
    const adapter = await gpu.requestAdapter();
    if (!adapter) continue;
    const { description, vendor, device, isFallbackAdapter } = adapter.info;
    return { gpu, name: description || `${vendor} ${device}`, software: isFallbackAdapter };
  }
  return undefined;
}

/** Dawn's null backend: it compiles and validates everything and computes nothing. */
export function openNullBackend() {
  return createGpu(['backend=null']);
}
