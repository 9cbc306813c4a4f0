/** The one place that chooses a method. The next one is a file beside these, and a case here. */
import type { AdapterSpec } from '../../core/adapter';
import type { DecoderSpec } from '../../core/spec';
import { doraMethod } from './dora';
import { full } from './full';
import { loraMethod } from './lora';
import type { Method } from './method';
import { promptMethod } from './prompt';
import { withSavedModules } from './saved-modules';
import { withTokenRows } from './token-rows';

/** What a model is trained by, or was: without an adapter it is the model itself. */
export function methodOf({ spec, lora, prompt }: { readonly spec: DecoderSpec } & AdapterSpec): Method {
  if (prompt) return promptMethod(spec, prompt);
  if (!lora) return full;
  const method = lora.useDora ? doraMethod(spec, lora) : loraMethod(spec, lora);
  return withTokenRows(withSavedModules(method, spec, lora), spec, lora);
}
