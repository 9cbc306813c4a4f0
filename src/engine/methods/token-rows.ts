/** Rows of tables that are trained beside an adapter: PEFT's `trainable_token_indices`. */
import { HEAD, tokenRows, type DecoderSpec, type LoraSpec } from '../../core/spec';
import { accumulate } from '../ops/accumulate';
import { embedding } from '../ops/embedding';
import type { Method } from './method';

/** The method with rows of its own for these tokens, which begin as those of the tables. */
export function withTokenRows(method: Method, spec: DecoderSpec, lora: LoraSpec): Method {
  const own = tokenRows(spec, lora);
  if (own.size === 0) return method;
  const savesTable = [...own.keys()].some((table) => method.replaced.has(table));
  if (savesTable) throw new Error('a table is trained whole, or some rows of it are');
  return {
    ...method,
    tokenRows: own,
    tokenIds: new Map([...own.values()].map(({ name, ids }) => [name, ids])),
    initialize(graph, leaves) {
      method.initialize?.(graph, leaves);
      for (const table of own.keys()) {
        // Those of a tied head are the embedding's.
        if (table === HEAD && spec.tieWordEmbeddings) continue;
        const { ids, rows } = leaves.tokens(table)!;
        accumulate(graph, embedding(graph, ids, leaves.original(table)), rows);
      }
    },
  };
}
