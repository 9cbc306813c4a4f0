import { homedir } from 'node:os';
import { expect, it } from 'vitest';

it('keeps kernels that tests compile for narrow vectors out of the cache that a training run reads', () => {
  const { LP_NATIVE_VECTOR_WIDTH: width, MESA_SHADER_CACHE_DIR: folder, XDG_CACHE_HOME: shared } = process.env;
  expect(width).toBe('128');
  // Without a folder of its own Mesa takes the user's.
  expect(folder).toBeTruthy();
  expect([shared, `${homedir()}/.cache`]).not.toContain(folder);
});
