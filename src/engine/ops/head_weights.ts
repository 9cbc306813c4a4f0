/** The weights of the head as its nodes have them among their inputs. */
import type { Tensor } from '../graph/graph';
import { expectShape } from './shape';
import { checkTokenRows, type TokenRows } from './token_rows';

/** Which tensors a node of the head has. */
export interface HeadForm {
  /** Of the table. */
  readonly parts: number;
  /** Whether the table is trained. */
  readonly trained: boolean;
  /** Whether tokens have rows of their own, and whether those are trained. */
  readonly tokens: 'none' | 'frozen' | 'trained';
}

export function headForm(table: readonly Tensor[], dTable: readonly Tensor[], tokens: TokenRows | undefined): HeadForm {
  if (tokens && dTable.length > 0) throw new Error('tokens have rows of their own beside a frozen table alone');
  return {
    parts: table.length,
    trained: dTable.length > 0,
    tokens: !tokens ? 'none' : tokens.dRows ? 'trained' : 'frozen',
  };
}

/** The weights of the head as a node has them: the table, the leaves of its gradient, and rows that replace some of it. */
export interface HeadWeights {
  /** W in parts of whole rows. */
  readonly table: readonly Tensor[];
  /** f32 leaves by part of a trained table, which the node adds to; else empty. */
  readonly dTable: readonly Tensor[];
  readonly tokens: TokenRows | undefined;
}

/** In the order of a node's inputs: what is read, and then what is written. */
export function headInputs({ table, dTable, tokens }: HeadWeights): Tensor[] {
  const ofTokens = tokens ? [tokens.ids, tokens.rows] : [];
  return [...table, ...ofTokens, ...dTable, ...(tokens?.dRows ? [tokens.dRows] : [])];
}

/** The weights among inputs that begin with them. */
export function headWeights(inputs: readonly Tensor[], { parts, trained, tokens }: HeadForm): HeadWeights {
  const left = [...inputs];
  const table = left.splice(0, parts);
  const [ids, rows] = tokens === 'none' ? [] : left.splice(0, 2);
  const dTable = trained ? left.splice(0, parts) : [];
  const [dRows] = tokens === 'trained' ? left : [];
  return { table, dTable, tokens: ids && rows && { ids, rows, dRows } };
}

/** Inputs that a node writes, which begin with the weights at `first`. */
export function headWrites(first: number, { parts, trained, tokens }: HeadForm): { writes?: readonly number[] } {
  const count = (trained ? parts : 0) + (tokens === 'trained' ? 1 : 0);
  const from = first + parts + (tokens === 'none' ? 0 : 2);
  return count > 0 ? { writes: Array.from({ length: count }, (_, i) => from + i) } : {};
}

export function checkHead(op: string, { table, dTable, tokens }: HeadWeights, channels: number): void {
  table.forEach((part) => expectShape(`${op} table`, part, [part.shape[0]!, channels]));
  dTable.forEach((gradient, i) => expectShape(`${op} gradient`, gradient, table[i]!.shape));
  if (tokens) checkTokenRows(op, tokens, channels);
}
