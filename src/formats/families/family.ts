/** What a family of models is: how its config.json reads as a decoder spec. */
import type { DecoderSpec } from '../../core/spec';
import type { JsonObject } from '../json';

export interface Family {
  /** `model_type` of its configs. */
  readonly modelType: string;
  /** The entry of `architectures` that is the language model itself. */
  readonly architecture: string;
  /** PEFT's default `target_modules` for the model type; absent where it has none and asks for them. */
  readonly loraTargets?: readonly string[];
  /** Throws `bad-config` for impossible values, `unsupported` for options of the family that Graft doesn't compute. */
  readSpec(config: JsonObject): DecoderSpec;
}
