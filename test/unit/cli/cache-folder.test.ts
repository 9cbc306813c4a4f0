import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cacheFolder } from '../../../src/cli/cache-folder';

const HOME = '/home/ada';

it('is the one that the environment names', () => {
  for (const platform of ['linux', 'darwin', 'win32'] as const)
    expect(cacheFolder({ GRAFT_CACHE: '/c', XDG_CACHE_HOME: '/x', LOCALAPPDATA: '/l' }, platform, HOME)).toBe('/c');
});

it('is else the platform’s own', () => {
  expect(cacheFolder({ GRAFT_CACHE: '' }, 'linux', HOME)).toBe(join(HOME, '.cache', 'graft'));
  expect(cacheFolder({ XDG_CACHE_HOME: '/x' }, 'linux', HOME)).toBe(join('/x', 'graft'));
  expect(cacheFolder({ XDG_CACHE_HOME: '' }, 'linux', HOME)).toBe(join(HOME, '.cache', 'graft'));
  expect(cacheFolder({}, 'darwin', HOME)).toBe(join(HOME, 'Library', 'Caches', 'graft'));
  expect(cacheFolder({ LOCALAPPDATA: '/l' }, 'win32', HOME)).toBe(join('/l', 'graft'));
  expect(cacheFolder({}, 'win32', HOME)).toBe(join(HOME, 'AppData', 'Local', 'graft'));
});
