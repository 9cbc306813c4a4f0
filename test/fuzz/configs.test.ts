/** Broken configs of every model family, and what models say of answering. */
import { readdirSync, readFileSync } from 'node:fs';
import { parameters } from '../../src/core/spec';
import { readGenerationHints } from '../../src/formats/generation-config';
import { readSpec } from '../../src/formats/model';
import { memorySource } from '../../src/formats/sources';
import { fuzz } from './harness';
import { mutateJson } from './mutate';

const read = (path: string) => readFileSync(path, 'utf8');
const FAMILIES = readdirSync('test/golden/families').map((name) => read(`test/golden/families/${name}/config.json`));
const VALUES = [
  ...[
    '{"rope_type": "linear", "factor": 4}',
    '{"rope_type": "longrope", "short_factor": [1, 1], "long_factor": [1e300, 2], "factor": 1e300}',
  ],
  ...[
    '{"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4}',
    '["full_attention", "sliding_attention"]',
  ],
  ...[
    '"gelu"',
    '"silu"',
    '1e308',
    '5e-324',
    '16777216',
    '4194304',
    '1024',
    '131072',
    '{"full_attention": {"rope_theta": 1e999}}',
    '[1, 0]',
  ],
];

fuzz('model configs', {
  make: (random) => mutateJson(random.pick(FAMILIES), random, VALUES),
  read: async (bytes) => {
    const spec = await readSpec(memorySource('fuzz', { 'config.json': bytes }));
    parameters(spec);
    refuseNotFinite(spec, 'spec');
  },
  bytes: (bytes) => bytes,
  readable: 0.1,
});

/** Every number of what was read can be computed with. */
function refuseNotFinite(value: unknown, path: string): void {
  if (typeof value === 'number' && !Number.isFinite(value)) throw new Error(`${path} is ${value}`);
  if (typeof value !== 'object' || value === null) return;
  for (const [key, item] of Object.entries(value)) refuseNotFinite(item, `${path}.${key}`);
}

fuzz('generation_config', () => {
  const good = JSON.stringify({
    ...(JSON.parse(read('public/models/starter/generation_config.json')) as object),
    ...{ do_sample: true, temperature: 0.7, top_p: 0.9, top_k: 50, max_new_tokens: 100, eos_token_id: [1, 2] },
  });
  return {
    make: (random) => mutateJson(good, random),
    read: async (bytes) => {
      const hints = await readGenerationHints(
        memorySource('fuzz', { 'generation_config.json': bytes }),
        undefined,
        100,
      );
      refuseNotFinite(hints.config, 'config');
      const odd = hints.notices.find((notice) => notice.length > 500 || notice.includes('\n'));
      if (odd !== undefined) throw new Error(`a notice of ${odd.length} characters: ${odd.slice(0, 200)}`);
    },
    bytes: (bytes) => bytes,
    readable: 0.3,
  };
});
