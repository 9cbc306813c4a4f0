/** A LoRA adapter in a GGUF file as PEFT names it: `lora.ts` the other way round. */
import { elementCount, fromFloat32, toFloat32 } from '../../core/dtypes';
import { GraftError } from '../../core/errors';
import { quote } from '../../core/format';
import { allLinears, parameters, type DecoderSpec } from '../../core/spec';
import type { FileSource } from '../../core/store';
import type { WeightTensor } from '../../core/weights';
import type { Adapter } from '../peft';
import { describeSpec } from './describe';
import { readGgufHeader, type GgufTensor } from './header';
import { hubName } from './names';
import { changesOf, readHubBytes } from './tensors';
import { EXPANDED_DTYPES } from './types';

/**
 * @param spec of the base model
 * @throws `bad-file` where it isn't an adapter of such a model
 */
export async function readLora(source: FileSource, file: string, spec: DecoderSpec): Promise<Adapter> {
  const { metadata, tensors } = await readGgufHeader(source, file);
  const { architecture } = describeSpec(spec, 'the model', parameters(spec));
  const alpha = metadata.required('adapter.lora.alpha', metadata.get('adapter.lora.alpha'));
  const isLora = metadata.get('general.type') === 'adapter' && metadata.get('adapter.type') === 'lora';
  if (!isLora || typeof alpha !== 'number') throw new GraftError('bad-file', `${file} is no LoRA adapter.`);
  const named = metadata.string('general.architecture');
  if (named !== architecture.name) {
    throw new GraftError(
      'bad-file',
      `${file} is an adapter of a ${quote(named)}, and the model is a ${architecture.name}.`,
    );
  }
  const linears = new Set(allLinears(spec).map(({ name }) => name));
  const overrides: Record<string, { r: number; alpha: number }> = {};
  const read: WeightTensor[] = [];
  for (const tensor of tensors) {
    const [, base = '', part = ''] = /^(.+)\.lora_([ab])$/.exec(tensor.name) ?? [];
    const own = hubName(base, architecture);
    const linear = own.replace(/\.weight$/, '');
    if (!linears.has(linear)) {
      throw new GraftError('bad-file', `${file} holds ${quote(tensor.name)}, which is no linear of the model.`);
    }
    const unchanged = { interleavedHeads: undefined, shift: 0 };
    read.push(await readOne(source, tensor, part === 'b' ? changesOf(own, architecture) : unchanged, linear));
    if (part === 'a') overrides[linear] = { r: tensor.shape[0]!, alpha };
  }
  const lora = {
    r: Object.values(overrides)[0]?.r ?? 1,
    alpha,
    dropout: 0,
    targetModules: Object.keys(overrides),
    useRslora: false,
    useDora: false,
    overrides,
  };
  return { lora, baseModel: '', tensors: read };
}

async function readOne(
  source: FileSource,
  stored: GgufTensor,
  changes: ReturnType<typeof changesOf>,
  linear: string,
): Promise<WeightTensor> {
  const { shape, type } = stored;
  const dtype = type.expanded;
  const width = dtype === 'F32' ? 4 : 2;
  const bytes = await readHubBytes(
    source,
    { name: linear, dtype, shape, stored, ...changes },
    0,
    width * elementCount(shape),
  );
  const values = toFloat32(bytes, EXPANDED_DTYPES[dtype]);
  const name = `base_model.model.${linear}.lora_${stored.name.endsWith('a') ? 'A' : 'B'}.weight`;
  return { name, dtype: 'f32', shape, bytes: fromFloat32(values, 'f32') };
}
