/** Modules of the model that are trained whole beside an adapter: PEFT's `modules_to_save`. */
import { EMBEDDING, HEAD, savedParameters, type DecoderSpec, type LoraSpec } from '../../core/spec';
import { copyWeights } from '../ops/copy_weights';
import type { Method } from './method';

/**
 * The method with copies of these modules, which take their place. The originals stay beside them, as in PEFT: they are
 * the model without its adapter.
 */
export function withSavedModules(method: Method, spec: DecoderSpec, lora: LoraSpec): Method {
  const replaced = savedParameters(spec, lora);
  if (replaced.size === 0) return method;
  return {
    ...method,
    replaced,
    initialize(graph, leaves) {
      method.initialize?.(graph, leaves);
      const copied = new Set<string>();
      for (const [name, { name: copy }] of replaced) {
        if (copied.has(copy)) continue;
        copied.add(copy);
        // The head that begins as a copy of its own may have been tied until now.
        const original = name === HEAD && spec.tieWordEmbeddings ? EMBEDDING : name;
        copyWeights(graph, leaves.original(original), leaves.table(name));
      }
    },
  };
}
