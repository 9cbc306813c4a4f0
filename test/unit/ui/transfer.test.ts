import { describe, expect, test } from 'vitest';
import { formatTransfer } from '../../../src/ui/format';
import { TransferRate } from '../../../src/ui/client/transfer';

const MIB = 2 ** 20;

describe('a transfer', () => {
  test('has no rate before half a second, and then that of the last five seconds', () => {
    const rate = new TransferRate();
    expect(rate.note(0, 100 * MIB, 0).rate).toBeUndefined();
    expect(rate.note(MIB, 100 * MIB, 400).rate).toBeUndefined();
    expect(rate.note(10 * MIB, 100 * MIB, 1000).rate).toBe(10 * MIB);
    for (let second = 2; second <= 10; second++) rate.note((10 + second) * MIB, 100 * MIB, 1000 * second);
    expect(rate.note(21 * MIB, 100 * MIB, 11_000).rate).toBe(MIB);
  });

  test('is said in amounts, rate and time left', () => {
    expect(formatTransfer({ loaded: 102 * MIB, total: 257 * MIB, rate: undefined })).toBe('102 MiB of 257 MiB');
    expect(formatTransfer({ loaded: 102 * MIB, total: 257 * MIB, rate: 5 * MIB })).toBe(
      '102 MiB of 257 MiB, 5.0 MiB a second, 31 s left',
    );
  });
});
