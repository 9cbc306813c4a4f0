/**
 * Lets the CPU go while the GPU works. Dawn's Node binding asks for finished work in a busy loop, which on a software
 * adapter takes one of the cores that the kernels run on: two cores train half as fast again with this. Plain
 * JavaScript: the test runner opens a GPU before anything is built.
 */

/** Longest nap between two polls; shorter ones come first, so that a wait grows by an eighth at most. */
const LONGEST_NAP_MS = 1;

/** @type {Record<string, string[]>} methods of WebGPU's classes whose promises wait for the GPU */
const WAITS = {
  GPUQueue: ['onSubmittedWorkDone'],
  GPUBuffer: ['mapAsync'],
  GPUDevice: ['createComputePipelineAsync', 'popErrorScope'],
};

const PATCHED = Symbol.for('graft.doze');
const bed = new Int32Array(new SharedArrayBuffer(4));
let pending = 0;
let since = 0;
let dozing = false;

function nap() {
  dozing = pending > 0;
  if (!dozing) return;
  Atomics.wait(bed, 0, 0, Math.min(LONGEST_NAP_MS, (performance.now() - since) / 8));
  setImmediate(nap);
}

/** @param {Promise<unknown>} wait */
function watch(wait) {
  since = performance.now();
  pending++;
  if (!dozing) setImmediate(nap);
  dozing = true;
  const end = () => pending--;
  wait.then(end, end);
  return wait;
}

/**
 * Makes the waits of Dawn's classes (`globals` of the package webgpu) polite; once is enough for a process.
 * @param {object} globals
 */
export function dozeWhileWaiting(globals) {
  for (const [name, methods] of Object.entries(WAITS)) {
    const { prototype } = /** @type {Record<string, any>} */ (globals)[name];
    if (prototype[PATCHED]) continue;
    prototype[PATCHED] = true;
    for (const method of methods) {
      const original = prototype[method];
      prototype[method] = function (/** @type {unknown[]} */ ...args) {
        return watch(original.apply(this, args));
      };
    }
  }
}
