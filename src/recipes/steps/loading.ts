/** Weights on their way to the engine: progress, cancelling, and a hash of the whole model. */
import { throwIfCancelled } from '../../core/errors';
import { encodeUtf8 } from '../../core/store';
import type { WeightStream } from '../../core/weights';
import { sha256 } from './hash';

export interface WatchedWeights {
  readonly stream: WeightStream;
  /** SHA-256 over the name, type, shape and bytes of every tensor that passed, in the order of their names. */
  digest(): Promise<string>;
}

/** Bytes so far, and of all. */
export type LoadingReport = (loadedBytes: number, totalBytes: number) => void;

/** The weights of a model as they pass by. The stream throws `cancelled` where the signal is aborted. */
export function watchWeights(
  model: { readonly weightBytes: number; weights(): WeightStream },
  report: LoadingReport,
  signal?: AbortSignal,
): WatchedWeights {
  const lines: string[] = [];
  async function* stream(): WeightStream {
    let loaded = 0;
    for await (const tensor of model.weights()) {
      throwIfCancelled(signal);
      lines.push(`${tensor.name} ${tensor.dtype} [${tensor.shape.join()}] ${await sha256(tensor.bytes)}\n`);
      yield tensor;
      loaded += tensor.bytes.byteLength;
      report(loaded, model.weightBytes);
    }
    throwIfCancelled(signal);
  }
  return { stream: stream(), digest: () => sha256(encodeUtf8(lines.sort().join(''))) };
}
