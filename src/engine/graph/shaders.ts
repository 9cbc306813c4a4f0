/** The shader files, by their paths in `shaders/`. */
import type { Shader } from './kernel';

const PREFIX = '../../../shaders/';

const FILES = import.meta.glob<string>('../../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true });

/** The file `shaders/PATH.wgsl`. */
export function shader(path: string): Shader {
  const code = FILES[`${PREFIX}${path}.wgsl`];
  if (code === undefined) throw new Error(`there is no shader ${path}`);
  return { name: path, code };
}
