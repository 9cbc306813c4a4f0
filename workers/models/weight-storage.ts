/** Settings of a run as the engine takes them. */
import type { WeightStorage } from '../../src/recipes';
import type { StorageSettings } from '../../src/protocol/models';

/** How a run with these settings keeps base weights; one that trains all of them holds them in 32 bits. */
export function storageOf(settings: StorageSettings): WeightStorage {
  const { use_peft, load_in_4bit, use_bnb_nested_quant, embedding_dtype } = settings;
  return { dtype: use_peft ? settings.dtype : 'float32', load_in_4bit, use_bnb_nested_quant, embedding_dtype };
}
