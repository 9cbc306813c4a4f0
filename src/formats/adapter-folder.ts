/** An adapter's folder in the place of a model's. */
import { GraftError } from '../core/errors';
import type { FileSource } from '../core/store';
import { readObject } from './json';

/** Throws `not-found` for the folder of an adapter, and says what it is an adapter of. */
export async function refuseAdapter(source: FileSource): Promise<void> {
  const adapter = await readObject(source, 'adapter_config.json').catch(() => undefined);
  if (!adapter) return;
  const base = adapter.get('base_model_name_or_path');
  const named = typeof base === 'string' && base !== '' ? base : 'MODEL';
  throw new GraftError(
    'not-found',
    `${source.name} is an adapter${named === 'MODEL' ? '' : ` of ${named}`} and no model: open its base model and give ` +
      `the folder as the adapter, --model ${named} --adapter ${source.name}.`,
  );
}
