/** Weights on their way to the engine: progress, cancelling, and a hash of the whole model. */
import { throwIfCancelled } from '../../core/errors';
import { sha256 } from '../../core/hash';
import { encodeUtf8 } from '../../core/store';
import type { WeightSlice, WeightStream } from '../../core/weights';
import type { WeightsRequest } from '../../formats/safetensors';

/** What weights are loaded from; a `HubModel` is one. */
export interface WeightSource {
  readonly weightBytes: number;
  weights(request?: WeightsRequest): WeightStream;
}

/** Bytes so far, and of all. */
export type LoadingReport = (loadedBytes: number, totalBytes: number) => void;

/** The weights of a model as they pass by. The stream throws `cancelled` where the signal is aborted. */
export async function* watchWeights(model: WeightSource, report: LoadingReport, signal?: AbortSignal): WeightStream {
  let loaded = 0;
  for await (const slice of model.weights({ signal })) {
    throwIfCancelled(signal);
    yield slice;
    loaded += slice.bytes.byteLength;
    report(loaded, model.weightBytes);
  }
  throwIfCancelled(signal);
}

/** What a slice adds to the model's digest. */
export async function digestLine({ name, dtype, shape, firstRow = 0, bytes }: WeightSlice): Promise<string> {
  return `${name} ${dtype} [${shape.join()}] ${firstRow} ${await sha256(bytes)}\n`;
}

/** SHA-256 over the lines of all slices, whatever their order. */
export function digestOf(lines: readonly string[]): Promise<string> {
  return sha256(encodeUtf8([...lines].sort().join('')));
}
