import { basename, dirname } from 'node:path';
import { GraftError } from '../../core/errors';
import { decodeUtf8 } from '../../core/store';
import type { WeightTensor } from '../../core/weights';
import { writeSafetensors } from '../../formats/safetensors';
import { forward as runForward, type ForwardOutput } from '../../recipes';
import type { Command } from '../command';
import { FolderStore } from '../folders';
import { openNodeEngine } from '../gpu';
import { readInput } from '../input';
import { ADAPTER_FLAG, loadingBar, MODEL_FLAG, modelArgument } from '../loading';
import { adapterArgument } from '../sources';

export const forward: Command = {
  name: 'forward',
  summary: 'logits, loss and gradients of given token ids',
  usage: '--model MODEL [--adapter DIR] --input IDS.json --output OUT.safetensors [--gradients]',
  syntax: {
    positionals: 0,
    runKeys: false,
    flags: {
      model: MODEL_FLAG,
      adapter: { ...ADAPTER_FLAG, help: 'an adapter folder; gradients are then those of its tensors' },
      input: { value: 'IDS.json', help: '{"input_ids": [[…]], "labels": [[…]]}, rows of one length, labels optional' },
      output: { value: 'OUT.safetensors', help: 'logits [B, T, V], and loss and grad.NAME where asked for' },
      gradients: { help: 'write the gradient of every parameter' },
    },
  },
  keepsResult: () => true,
  async run(args, terminal, signal) {
    const input = args.required('input', 'name a JSON file with input_ids');
    const output = args.required('output', 'name a safetensors file to write');
    const { inputIds, labels } = readIds(basename(input), await readInput(input, 'input file', signal));
    const model = await modelArgument(args, terminal, signal);
    const say = (line: string) => terminal.say(line);
    const adapter = await adapterArgument(args, say);
    const engine = await openNodeEngine(say);
    try {
      const request = {
        model,
        adapter,
        engine,
        inputIds,
        labels,
        gradients: args.has('gradients'),
        dtype: 'auto',
      } as const;
      const result = await runForward(request, loadingBar(terminal), signal);
      const tensors = outputTensors(result);
      await new FolderStore(dirname(output)).write(basename(output), writeSafetensors(tensors, { format: 'pt' }));
      terminal.emit({ loss: result.loss ?? null, shape: result.shape, tensors: tensors.length, output });
      const loss = result.loss === undefined ? '' : `loss ${result.loss.toFixed(6)}, `;
      terminal.say(
        `${loss}logits [${result.shape.join(', ')}] and ${tensors.length - 1} more tensors are in ${output}`,
      );
    } finally {
      engine.destroy();
    }
  },
};

function outputTensors({ logits, shape, loss, gradients = [] }: ForwardOutput): WeightTensor[] {
  const f32 = (name: string, dims: readonly number[], values: Float32Array): WeightTensor => ({
    name,
    dtype: 'f32',
    shape: dims,
    bytes: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  });
  return [
    f32('logits', shape, logits),
    ...(loss === undefined ? [] : [f32('loss', [], Float32Array.of(loss))]),
    ...gradients.map((tensor) => ({ ...tensor, name: `grad.${tensor.name}` })),
  ];
}

type Rows = readonly (readonly number[])[];

/** `IDS.json`. Throws `bad-data` naming the file and the row. */
function readIds(name: string, bytes: Uint8Array): { inputIds: Rows; labels: Rows | undefined } {
  let value: unknown;
  try {
    value = JSON.parse(decodeUtf8(bytes));
  } catch {
    throw new GraftError('bad-data', `${name} is not valid JSON: expected {"input_ids": [[…]], "labels": [[…]]}.`);
  }
  const fields = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const inputIds = rows(name, 'input_ids', fields['input_ids'], 0);
  const labels = fields['labels'] ?? undefined;
  return { inputIds, labels: labels === undefined ? undefined : rows(name, 'labels', labels, -100) };
}

function rows(name: string, field: string, value: unknown, least: 0 | -100): Rows {
  if (!Array.isArray(value) || value.length === 0) {
    throw new GraftError('bad-data', `${name}: ${field} must be a list of rows of token ids, [[1, 2, 3]].`);
  }
  value.forEach((row: unknown, i) => {
    const isId = (id: unknown) => Number.isSafeInteger(id) && ((id as number) >= 0 || id === least);
    if (Array.isArray(row) && row.every(isId)) return;
    throw new GraftError(
      'bad-data',
      `${name}: row ${i + 1} of ${field} must be a list of token ids${least < 0 ? ' or -100' : ''}.`,
    );
  });
  return value as Rows;
}
