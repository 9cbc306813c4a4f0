/** The block's step in plain loops: what every engine's result is held against. */
import { linearBackward, matmul } from '../../reference/matmul';
import { adamw } from '../../reference/optimizer';
import { swiglu, swigluBackward } from '../../reference/glu';
import type { Values } from '../../reference/values';
import { ADAM, BLOCK, LINEAR_NAMES, LINEARS, type BlockInputs, type LinearName } from './types';

export function blockReference({ x, target, linears }: BlockInputs): Float64Array[] {
  const { tokens, rank, scaling: alpha } = BLOCK;
  const sizes = (name: LinearName) => {
    const { inFeatures, outFeatures } = LINEARS[name];
    return {
      base: { m: tokens, n: outFeatures, k: inFeatures, transposeB: true },
      down: { m: tokens, n: rank, k: inFeatures, transposeB: true },
      up: { m: tokens, n: outFeatures, k: rank, transposeB: true, alpha },
    };
  };
  const forward = (name: LinearName, input: Values) => {
    const { w, a, b } = linears[name];
    const { base, down, up } = sizes(name);
    return matmul(matmul(input, a, down), b, up, matmul(input, w, base));
  };
  const backward = (name: LinearName, input: Values, dy: Values) => {
    const { w, a, b } = linears[name];
    const { base, down, up } = sizes(name);
    const outer = linearBackward(matmul(input, a, down), b, dy, up);
    const inner = linearBackward(input, a, outer.dx, down);
    const direct = matmul(dy, w, { m: tokens, n: base.k, k: base.n });
    return { dx: direct.map((value, i) => value + inner.dx[i]!), da: inner.dw, db: outer.dw };
  };

  const gate = forward('gate', x);
  const up = forward('up', x);
  const active = swiglu(gate, up);
  const ofDown = backward('down', active, target);
  const { dgate, dup } = swigluBackward(gate, up, ofDown.dx);
  const ofGate = backward('gate', x, dgate);
  const ofUp = backward('up', x, dup);
  const gradients = { gate: ofGate, up: ofUp, down: ofDown };
  const updated = LINEAR_NAMES.flatMap((name) => [
    adam(linears[name].a, gradients[name].da),
    adam(linears[name].b, gradients[name].db),
  ]);
  return [ofGate.dx.map((value, i) => value + ofUp.dx[i]!), ...updated];
}

function adam(parameter: Float32Array, gradient: Float64Array): Float64Array {
  const zeros = new Float64Array(parameter.length);
  return adamw(gradient, 0, parameter, zeros, zeros, { ...ADAM, weightDecay: 0, maxNorm: 0, step: 1 }).parameter;
}
