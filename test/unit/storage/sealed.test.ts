import { expect, it } from 'vitest';
import { seal, unseal } from '../../../src/storage/sealed';

it('gives back what was sealed, in whichever order its keys are kept', async () => {
  const value = { b: [1, { d: 'x', c: null }], a: Uint8Array.of(1, 2) };
  const sealed = await seal(value);
  expect(await unseal(structuredClone(sealed))).toEqual(value);
  const reordered = { sha256: sealed.sha256, value: { a: value.a, b: [1, { c: null, d: 'x' }] } };
  expect(await unseal(reordered)).toEqual(value);
});

it('gives nothing for anything else, whatever it is', async () => {
  const sealed = await seal({ a: [1, 2], bytes: Uint8Array.of(1, 2) });
  let deep: unknown = [];
  for (let i = 0; i < 50_000; i++) deep = [deep];
  for (const found of [
    undefined,
    null,
    7,
    {},
    sealed.value,
    { ...sealed, sha256: '' },
    { ...sealed, value: undefined },
    { ...sealed, value: { ...sealed.value, a: [1, 3] } },
    { ...sealed, value: { ...sealed.value, bytes: Uint8Array.of(1, 3) } },
    { ...sealed, value: { ...sealed.value, more: 0 } },
    { ...sealed, value: deep }, // deeper than the stack
    { ...sealed, value: { a: 1n } },
  ])
    expect(await unseal(found)).toBeUndefined();
});
