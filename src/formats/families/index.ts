/** The model families Graft trains. A new one is a new entry: how its config.json reads as a decoder spec. */
import { GraftError } from '../../core/errors';
import type { DecoderSpec } from '../../core/spec';
import { quote } from '../../core/format';
import type { JsonObject } from '../json';
import type { Family } from './family';
import { gemma2, gemma3 } from './gemma';
import { llama } from './llama';
import { mistral } from './mistral';
import { phi3 } from './phi3';
import { qwen2, qwen3 } from './qwen';
import { smollm3 } from './smollm3';

export const FAMILIES: readonly Family[] = [llama, mistral, qwen2, qwen3, phi3, smollm3, gemma2, gemma3];

/** The spec of a config.json. Throws `unsupported` for an architecture that isn't in the table. */
export function specFromConfig(config: JsonObject, modelName: string): DecoderSpec {
  const modelType = config.string('model_type');
  const architectures = config.strings('architectures') ?? [];
  const family = FAMILIES.find(
    (known) =>
      known.modelType === (modelType ?? known.modelType) &&
      (architectures.length > 0 ? architectures.includes(known.architecture) : modelType !== undefined),
  );
  if (!family) {
    const named =
      architectures.length > 0
        ? `architecture ${architectures.slice(0, 3).map(quote).join(', ')}`
        : 'unnamed architecture';
    const type = modelType === undefined ? '' : ` (model_type ${quote(modelType)})`;
    const known = FAMILIES.map((entry) => `${entry.architecture} (${entry.modelType})`).join(', ');
    throw new GraftError(
      'unsupported',
      `${modelName} has the ${named}${type}, which Graft can't train; it can train: ${known}.`,
    );
  }
  if (config.get('quantization_config') !== undefined) {
    throw new GraftError(
      'unsupported',
      `${modelName} is already quantised; pick the original model in F32, F16 or BF16.`,
    );
  }
  return family.readSpec(config);
}
