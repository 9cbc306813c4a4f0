/** Which layers see a window only. */
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import type { LayerSpec } from '../../core/spec';
import type { JsonObject } from '../json';
import { LIMITS } from './config';

export type LayerType = 'full_attention' | 'sliding_attention';

/** `sliding_window`: `standard` where the key is absent, none where it is null. */
export function readWindow(config: JsonObject, standard: number | undefined): number | undefined {
  const key = 'sliding_window';
  return config.isNull(key) ? undefined : (config.size(key, LIMITS.max_position_embeddings) ?? standard);
}

/** `layer_types`, an entry a layer, or what `standard` says of each layer where the key is absent. */
export function readLayerTypes(
  config: JsonObject,
  numLayers: number,
  standard: (layer: number) => LayerType,
): LayerType[] {
  const key = 'layer_types';
  const listed = config.strings(key);
  if (!listed) return Array.from({ length: numLayers }, (_, layer) => standard(layer));
  const odd = listed.find((type) => type !== 'full_attention' && type !== 'sliding_attention');
  if (odd !== undefined) {
    throw new GraftError(
      'unsupported',
      `${config.where}: ${key} has ${quote(odd)}; Graft computes full_attention and sliding_attention only.`,
    );
  }
  if (listed.length !== numLayers) {
    throw new GraftError('bad-config', `${config.where}: ${key} has ${listed.length} entries for ${numLayers} layers.`);
  }
  return listed as LayerType[];
}

/** The window of each layer; none where all see everything. Throws `bad-config` for a sliding layer without a window. */
export function windows(
  config: JsonObject,
  types: readonly LayerType[],
  window: number | undefined,
): { layers?: LayerSpec[] } {
  if (!types.includes('sliding_attention')) return {};
  return { layers: types.map((type) => ({ rope: 'global', ...windowOf(config, type, window) })) };
}

export function windowOf(config: JsonObject, type: LayerType, window: number | undefined): { window?: number } {
  return type === 'sliding_attention' ? { window: config.required('sliding_window', window) } : {};
}
