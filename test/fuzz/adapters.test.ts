/** Broken adapters: PEFT's config, and the names of tensors. */
import { promptParameter } from '../../src/core/adapter';
import { adapterParameters, type LoraSpec } from '../../src/core/spec';
import { readSpec } from '../../src/formats/model';
import { adapterFiles, checkAdapter, readAdapter } from '../../src/formats/peft';
import { memorySource } from '../../src/formats/sources';
import { tinyModel } from '../unit/recipes/support';
import { fuzz } from './harness';
import { mutateBytes, mutateJson } from './mutate';

const LORA: LoraSpec = {
  r: 2,
  alpha: 4,
  dropout: 0.1,
  targetModules: ['q_proj', 'v_proj'],
  useRslora: false,
  useDora: false,
};
const VALUES = [
  ...[
    '"all-linear"',
    '".*q_proj"',
    '"(a+)+$"',
    '"(.*)*x"',
    '"("',
    '["q_proj"]',
    '["layers.0.self_attn.q_proj"]',
    '{"q_proj": 4}',
    '{"(a+)+$": 4}',
  ],
  ...[
    '{".*": 1e999}',
    '{"q_proj": 0}',
    '{"": 1}',
    '[0, 1]',
    '[-1]',
    '"LORA"',
    '"pissa"',
    '"layers"',
    '["layers", "h"]',
    '"model.layers.0.self_attn.q_proj"',
  ],
];

fuzz('adapters', async () => {
  const spec = await readSpec(await tinyModel());
  const tensors = adapterParameters(spec, LORA).map(({ name, shape }) => {
    const count = shape.reduce((product, n) => product * n, 1);
    return { name, dtype: 'f32' as const, shape, bytes: new Uint8Array(4 * count) };
  });
  const [config, weights] = adapterFiles({ lora: LORA, baseModel: 'org/base', tensors });
  const json = JSON.stringify({
    ...(JSON.parse(new TextDecoder().decode(config!.bytes)) as object),
    ...{ exclude_modules: ['x'], rank_pattern: { 'layers.0.self_attn.q_proj': 2 }, alpha_pattern: { v_proj: 4 } },
  });
  const headerEnd = 8 + Number(new DataView(weights!.bytes.buffer).getBigUint64(0, true));
  const header = new TextDecoder().decode(weights!.bytes.subarray(8, headerEnd));
  const renamed = (bytes: Uint8Array) => {
    const file = new Uint8Array(8 + bytes.length + weights!.bytes.length - headerEnd);
    new DataView(file.buffer).setBigUint64(0, BigInt(bytes.length), true);
    file.set(bytes, 8);
    return file;
  };
  return {
    make: (random) => {
      const both = random.below(4);
      const names = both === 0 ? mutateJson(header, random, ['"F16"', '[2, 32]']) : undefined;
      return {
        'adapter_config.json': both > 0 ? mutateJson(json, random, VALUES) : new TextEncoder().encode(json),
        'adapter_model.safetensors': names
          ? renamed(names)
          : both === 1
            ? mutateBytes(weights!.bytes, random)
            : weights!.bytes,
      };
    },
    read: async (files) => {
      const adapter = await readAdapter(memorySource('fuzz', files));
      const { lora } = adapter;
      for (const value of lora ? [lora.alpha, lora.dropout, lora.r] : [])
        if (!Number.isFinite(value)) throw new Error(`took ${value}`);
      checkAdapter('fuzz', adapter, spec);
    },
    bytes: (files) => files['adapter_config.json'],
    readable: 0.05,
  };
});

fuzz('prompts', async () => {
  const spec = await readSpec(await tinyModel());
  const prompt = { numVirtualTokens: 3, initText: 'be kind' };
  const { name, shape } = promptParameter(spec, prompt);
  const tensors = [{ name, dtype: 'f32' as const, shape, bytes: new Uint8Array(4 * 3 * spec.hiddenSize) }];
  const [config, weights] = adapterFiles({ prompt, baseModel: 'org/base', tensors });
  const json = new TextDecoder().decode(config!.bytes);
  return {
    make: (random) => {
      const isConfig = random.below(3) > 0;
      return {
        'adapter_config.json': isConfig ? mutateJson(json, random, VALUES) : new TextEncoder().encode(json),
        'adapter_model.safetensors': isConfig ? weights!.bytes : mutateBytes(weights!.bytes, random),
      };
    },
    read: async (files) => {
      const adapter = await readAdapter(memorySource('fuzz', files));
      checkAdapter('fuzz', adapter, spec);
      if (adapter.prompt?.numVirtualTokens !== 3) throw new Error('took another prompt than the tensor has');
    },
    bytes: (files) => files['adapter_config.json'],
    readable: 0.05,
  };
});
