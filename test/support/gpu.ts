import { openAdapter, openNullBackend } from './adapter.mjs';

export interface TestGpu {
  /** What a browser has as `navigator.gpu`. */
  readonly gpu: GPU;
  /** The adapter's own description, for messages. */
  readonly name: string;
  readonly software: boolean;
}

let opened: Promise<TestGpu> | undefined;

/** The GPU that tests run on, one per process: a real one where there is one, else Mesa's lavapipe, else SwiftShader. */
export function testGpu(): Promise<TestGpu> {
  opened ??= openAdapter().then((found) => {
    if (!found) throw new Error('No Vulkan driver works here: run `npm test` once, which installs a software one.');
    return found;
  });
  return opened;
}

/** A GPU that compiles and validates everything and computes nothing (Dawn's null backend). Needs no driver. */
export function nullGpu(): GPU {
  return openNullBackend();
}
