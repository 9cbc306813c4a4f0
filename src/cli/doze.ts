/**
 * Lets the CPU go while the GPU works. Dawn's Node binding asks for finished work in a busy loop, which on a software
 * adapter takes one of the cores that the kernels run on: two cores train half as fast again with this.
 */

/** Longest nap between two polls; shorter ones come first, so that a wait grows by an eighth at most. */
const LONGEST_NAP_MS = 1;

/** Methods of WebGPU's classes whose promises wait for the GPU. */
const WAITS: Readonly<Record<string, readonly string[]>> = {
  GPUQueue: ['onSubmittedWorkDone'],
  GPUBuffer: ['mapAsync'],
  GPUDevice: ['createComputePipelineAsync', 'popErrorScope'],
};

type Wait = (...args: unknown[]) => Promise<unknown>;
type Prototype = Record<string, Wait> & { [PATCHED]?: boolean };

const PATCHED = Symbol.for('graft.doze');
const bed = new Int32Array(new SharedArrayBuffer(4));
let pending = 0;
let since = 0;
let dozing = false;

function nap(): void {
  dozing = pending > 0;
  if (!dozing) return;
  Atomics.wait(bed, 0, 0, Math.min(LONGEST_NAP_MS, (performance.now() - since) / 8));
  setImmediate(nap);
}

function napUntil(wait: Promise<unknown>): Promise<unknown> {
  since = performance.now();
  pending++;
  if (!dozing) setImmediate(nap);
  dozing = true;
  const end = () => pending--;
  wait.then(end, end);
  return wait;
}

/** Makes the waits of Dawn's classes (`globals` of the package webgpu) polite; once is enough for a process. */
export function dozeWhileWaiting(globals: object): void {
  for (const [name, methods] of Object.entries(WAITS)) {
    const { prototype } = (globals as Record<string, { prototype: Prototype }>)[name]!;
    if (prototype[PATCHED]) continue;
    prototype[PATCHED] = true;
    for (const method of methods) {
      const original = prototype[method]!;
      prototype[method] = function (this: unknown, ...args: unknown[]) {
        return napUntil(original.apply(this, args));
      };
    }
  }
}
