/** The self-check of exports: what is good passes, and each planted fault is found. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { elementCount, fromFloat32, toFloat32 } from '../../../src/core/dtypes';
import { Random } from '../../../src/core/rng';
import { adapterParameters, HEAD, parameters, type DecoderSpec, type LoraSpec } from '../../../src/core/spec';
import type { FileSource } from '../../../src/core/store';
import { wholeTensors, type WeightTensor } from '../../../src/core/weights';
import { openEngine, type Engine } from '../../../src/engine';
import type { AskedModel } from '../../../src/formats/asked-model';
import {
  FILE_TYPES,
  ggufPieces,
  loraPieces,
  openGguf,
  planGguf,
  planLora,
  readLora,
  storedTypes,
  type FileType,
} from '../../../src/formats/gguf';
import { openModel, type HubModel } from '../../../src/formats/model';
import { memorySource } from '../../../src/formats/sources';
import { withChatTemplate } from '../../../src/formats/text-model';
import { adapterFiles, readAdapter, type Adapter } from '../../../src/formats/peft';
import { verifyExport, verifyLora } from '../../../src/recipes';
import { verificationFacts } from '../../../src/recipes/verification-facts';
import { crowdedDevice, refusesLargestBuffer } from '../../support/faulty-gpu';
import { testGpu } from '../../support/gpu';
import { wrapGpu } from '../../support/wrapped-gpu';
import { tinyModel } from './support';

let engine: Engine;
let source: FileSource;
let model: HubModel;

/** A model of 512 positions with the starter's tokenizer, which starts texts with BOS, and a head of its own. */
beforeAll(async () => {
  engine = await openEngine((await testGpu()).gpu);
  const starter = (file: string) => readFileSync(`public/models/starter/${file}`);
  const settings = { vocab_size: 3072, tie_word_embeddings: false, max_position_embeddings: 128 };
  const tiny = await tinyModel(settings);
  const config = JSON.parse(starter('tokenizer_config.json').toString()) as { chat_template: string };
  source = memorySource('tiny', {
    'config.json': await tiny.read('config.json'),
    'model.safetensors': await tiny.read('model.safetensors'),
    'tokenizer.json': starter('tokenizer.json'),
    'tokenizer_config.json': Buffer.from(
      JSON.stringify({
        ...config,
        bos_token: '<|endoftext|>',
        add_bos_token: true,
        chat_template: `{{ bos_token }}${config.chat_template}`,
      }),
    ),
  });
  model = await openModel(source);
});
afterAll(() => engine.destroy());

interface Fault {
  readonly spec?: DecoderSpec;
  readonly asked?: AskedModel;
  readonly change?: (tensor: WeightTensor) => WeightTensor;
}

async function exported(type: FileType, { spec = model.spec, asked = model, change = (tensor) => tensor }: Fault = {}) {
  const known = new Set(parameters(spec).map(({ name }) => name));
  const order = [...model.dtypes.keys()].filter((name) => known.has(name));
  const plan = await planGguf({ name: 'tiny', spec, order, type, source, asked });
  const weights = (async function* () {
    for await (const tensor of wholeTensors(model.weights())) if (known.has(tensor.name)) yield change(tensor);
  })();
  const pieces: Uint8Array[] = [];
  for await (const piece of ggufPieces(plan, weights)) pieces.push(piece);
  const folder = memorySource('alone', { 'm.gguf': new Uint8Array(Buffer.concat(pieces)) });
  return { exported: await openModel(await openGguf(folder, 'm.gguf')), types: await storedTypes(folder, 'm.gguf') };
}

const verify = async (type: FileType, fault?: Fault) =>
  verifyExport({ model, engine, ...(await exported(type, fault)) }, () => undefined);

describe('a good file', () => {
  it.each(Object.keys(FILE_TYPES) as FileType[])('passes as %s', async (type) => {
    const { findings, answers, weights } = await verify(type);
    expect(findings).toEqual([]);
    expect(answers!.prompts).toBe(3);
    if (type !== 'F32') return;
    expect([weights!.error, answers!.logitError, answers!.agreement, answers!.sameAnswers]).toEqual([0, 0, 1, 3]);
    expect([answers!.largestDifference, answers!.meanDifference]).toEqual([0, 0]);
  });
});

describe('a good file that is too large for the GPU', () => {
  it('is held against the model but for its answers, and that is said', async () => {
    const { gpu } = await testGpu();
    const refused = await refusesLargestBuffer(gpu);
    const crowded = wrapGpu(gpu, { onDevice: (device) => crowdedDevice(device, refused, (size) => size > 100_000) });
    const small = await openEngine(crowded);
    const { findings, notices, answers, weights } = await verifyExport(
      { model, engine: small, ...(await exported('Q8_0')) },
      () => undefined,
    );
    small.destroy();
    expect([findings, answers]).toEqual([[], undefined]);
    expect(weights!.error).toBeLessThan(0.01);
    expect(notices).toEqual(['Answers are not compared: the model does not fit into the memory of this GPU.']);
  });
});

describe('an adapter as GGUF', () => {
  const lora: LoraSpec = {
    ...{ r: 4, alpha: 6, dropout: 0, useRslora: true, useDora: false },
    targetModules: ['q_proj', 'k_proj', 'down_proj'],
  };
  const random = new Random(5);
  const tensors = (spec: DecoderSpec): WeightTensor[] =>
    adapterParameters(spec, lora).map(({ name, shape }) => {
      const values = Float32Array.from({ length: elementCount(shape) }, () => 0.2 * random.normal());
      return { name, shape, dtype: 'f32', bytes: fromFloat32(values, 'f32') };
    });
  let adapter: Adapter;
  let folder: FileSource;
  beforeAll(async () => {
    const files = adapterFiles({ lora, baseModel: 'tiny', tensors: tensors(model.spec) });
    folder = memorySource('adapter', Object.fromEntries(files.map(({ name, bytes }) => [name, bytes])));
    adapter = await readAdapter(folder);
  });

  async function verify(written: Adapter) {
    const plan = planLora({ name: 'a', adapter: written, spec: model.spec, modelName: 'tiny', type: 'F32' });
    const pieces: Uint8Array[] = [];
    for await (const piece of loraPieces(plan)) pieces.push(piece);
    const bytes = new Uint8Array(Buffer.concat(pieces));
    const read = await readLora(memorySource('alone', { 'a.gguf': bytes }), 'a.gguf', model.spec);
    return verifyLora({ model, adapter: folder, engine }, read, 'F32', () => undefined);
  }

  it('passes where it is the adapter', async () => {
    expect((await verify(adapter)).findings).toEqual([]);
  });

  it('says how far the adapter moves the logits, and what was compared', async () => {
    const found = await verify(adapter);
    expect(found.answers!.adapterEffect).toBeGreaterThan(0.01);
    expect(found.notices).toEqual([]);
    expect(verificationFacts(found)).toMatchObject({
      Compared: 'logits, greedy answers',
      Prompts: "3, of Graft's own",
      'Size of the difference': expect.stringMatching(
        /^0(\.0+\d+)? % of the logits; stored so, 0\.01 % are allowed$/,
      ) as string,
      'Greedy answers the same': '3 of 3',
      Result: 'passed',
    });
  });

  it('is no proof where the model without it would have passed, too', async () => {
    const weak = tensors(model.spec).map((tensor) => ({
      ...tensor,
      bytes: fromFloat32(
        toFloat32(tensor.bytes, 'f32').map((value) => value / 100),
        'f32',
      ),
    }));
    const files = adapterFiles({ lora, baseModel: 'tiny', tensors: weak });
    const weakFolder = memorySource('weak', Object.fromEntries(files.map(({ name, bytes }) => [name, bytes])));
    // The base itself, without the adapter, in the place of the merged file.
    const base = await exported('Q8_0');
    const found = await verifyExport({ model, adapter: weakFolder, engine, ...base }, () => undefined);
    expect(found.answers!.adapterEffect).toBeLessThan(0.1);
    expect(found.notices).toEqual([
      expect.stringMatching(
        /^With and without the adapter, the model's logits are [\d.]+ % apart, and a file of this type may be 10 % off: by its answers, this check can't tell/,
      ),
    ]);
  });

  it('is found out where its alpha is another', async () => {
    const { findings } = await verify({ ...adapter, lora: { ...adapter.lora!, useRslora: false } });
    expect(findings).toEqual([expect.stringMatching(/^Logits are [\d.]+ % off; stored so, they may be 0\.01 %\.$/)]);
  });
});

/** Rows as columns: of a square matrix nothing but its values tells. */
function transposed(tensor: WeightTensor): WeightTensor {
  const [rows = 1, columns = 1] = tensor.shape;
  const values = toFloat32(tensor.bytes, tensor.dtype);
  const turned = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
  return { ...tensor, bytes: fromFloat32(turned, tensor.dtype) };
}

describe.each(['F32', 'Q4_0'] as const)('a planted fault is found in %s', (type) => {
  const text = () => model.template!.text;

  it('a transposed tensor', async () => {
    const name = 'model.layers.1.self_attn.o_proj.weight';
    const { findings } = await verify(type, {
      change: (tensor) => (tensor.name === name ? transposed(tensor) : tensor),
    });
    expect(findings[0]).toMatch(/^model\.layers\.1\.self_attn\.o_proj\.weight is 1[34]\d % off in the file; as /);
  });

  it('a wrong rope base', async () => {
    const spec = { ...model.spec, rope: { ...model.spec.rope, theta: 1_000_000 } };
    expect((await verify(type, { spec })).findings[0]).toBe('rope is another in the file than in the model.');
  });

  it('an untied head left out', async () => {
    const { findings } = await verify(type, { spec: { ...model.spec, tieWordEmbeddings: true } });
    expect(findings).toContainEqual('tieWordEmbeddings is another in the file than in the model.');
    expect(findings).toContainEqual(`The file lacks "${HEAD}".`);
  });

  it('a missing end of turn', async () => {
    const asked = withChatTemplate(model, 'faulty', text().replaceAll('<|end|>', ''));
    expect((await verify(type, { asked })).findings).toContainEqual(
      expect.stringMatching(/^The file's chat template writes .* where the model's writes .*<\|end\|>/),
    );
  });

  it('a double BOS', async () => {
    const twice = withChatTemplate(model, 'faulty', `{{ bos_token }}${text()}`);
    expect((await verify(type, { asked: twice })).findings).toContainEqual(
      expect.stringMatching(/^The file's chat template writes "<\|endoftext\|><\|endoftext\|>/),
    );
  });
});
