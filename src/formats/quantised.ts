/** Weights that another program quantised, told by the tensors that it leaves beside them. */
import { GraftError } from '../core/errors';
import type { TensorEntry } from './safetensors';

/** Ends of names, and what writes them. */
const MARKS: readonly (readonly [name: RegExp, method: string])[] = [
  [/\.(absmax|quant_map|nested_absmax|nested_quant_map)$|\.quant_state\.bitsandbytes__\w+$/, 'bitsandbytes, 4 bits'],
  [/\.(SCB|weight_format)$/, 'bitsandbytes, 8 bits'],
  [/\.(g_idx)$/, 'GPTQ'],
  [/\.(qweight|qzeros)$/, 'GPTQ or AWQ'],
  [/\.(weight_packed|weight_zero_point|weight_g_idx)$/, 'compressed-tensors'],
  [/\.(weight_scale|weight_scale_inv|input_scale)$/, 'FP8'],
  [/\.(W_q)$/, 'HQQ'],
  [/\.(weight\._data|weight\.qdata)$|_qdata$/, 'quanto or torchao'],
  [/\.(scales|biases)$/, 'MLX or another'],
];

/**
 * @throws `unsupported` where the weights are quantised, which a config.json without `quantization_config` doesn't say:
 *   their shapes and names would be called wrong, though the file is right.
 */
export function refuseQuantised(model: string, tensors: readonly TensorEntry[]): void {
  const found =
    MARKS.flatMap(([name, method]) => {
      const tensor = tensors.find((entry) => name.test(entry.name));
      return tensor ? [{ tensor, method }] : [];
    })[0] ?? packed(tensors);
  if (!found) return;
  const { tensor, method } = found;
  throw new GraftError(
    'unsupported',
    `${model} holds weights that are quantised already (${method}; there is ${tensor.name}), though its config.json has ` +
      'no quantization_config: pick the original model in F32, F16 or BF16.',
  );
}

/** A linear's weight of bytes or 8-bit floats. */
function packed(tensors: readonly TensorEntry[]): { tensor: TensorEntry; method: string } | undefined {
  const tensor = tensors.find(({ name, dtype }) => name.endsWith('.weight') && /^(U8|I8|F8_|F4|U32|I32)/.test(dtype));
  if (!tensor) return undefined;
  const isColumn = tensor.dtype === 'U8' && tensor.shape.length === 2 && tensor.shape[1] === 1;
  const method = isColumn
    ? 'bitsandbytes, 4 bits'
    : tensor.dtype.startsWith('F8_')
      ? 'FP8'
      : `packed as ${tensor.dtype}`;
  return { tensor, method };
}
