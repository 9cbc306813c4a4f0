/** What another implementation computed for a model: files beside it, as test/golden/families.py writes them. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { folder, goldenTensors, type GoldenTensor } from './folder';

export interface Golden {
  readonly ids: number[][];
  readonly labels: number[][];
  readonly logits: ArrayLike<number>;
  /** By parameter. */
  readonly gradients: ReadonlyMap<string, GoldenTensor>;
  readonly loss: number;
}

/** A golden of a whole family, with its greedy continuation. */
export interface FamilyGolden extends Golden {
  readonly prompt: number[];
  readonly continuation: number[];
  /** Every tensor of the file. */
  readonly tensors: ReadonlyMap<string, GoldenTensor>;
}

/** The rows of a matrix. */
export function rows(tensor: GoldenTensor): number[][] {
  const [count, length] = tensor.shape as [number, number];
  return Array.from({ length: count }, (_, i) => Array.from(tensor.values).slice(i * length, (i + 1) * length));
}

/** The tensors whose name begins with `prefix`, by the rest of it. */
export function named(tensors: ReadonlyMap<string, GoldenTensor>, prefix: string): Map<string, GoldenTensor> {
  return new Map(
    [...tensors].filter(([key]) => key.startsWith(prefix)).map(([key, value]) => [key.slice(prefix.length), value]),
  );
}

export async function familyGolden(path: string): Promise<FamilyGolden> {
  const tensors = await goldenTensors(folder(path), 'expected.safetensors');
  const facts = JSON.parse(readFileSync(resolve(path, 'expected.json'), 'utf8')) as {
    loss: number;
    prompt_ids: number[];
    greedy_ids: number[];
  };
  return {
    ids: rows(tensors.get('input_ids')!),
    labels: rows(tensors.get('labels')!),
    logits: tensors.get('logits')!.values,
    gradients: named(tensors, 'grad.'),
    loss: facts.loss,
    prompt: facts.prompt_ids,
    continuation: facts.greedy_ids,
    tensors,
  };
}
