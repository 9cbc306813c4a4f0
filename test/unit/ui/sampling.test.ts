import { beforeEach, expect, it, vi } from 'vitest';
import { SamplingState } from '../../../src/ui/features/chat/sampling.svelte';

let kept: Map<string, string>;
beforeEach(() => {
  kept = new Map();
  vi.stubGlobal('localStorage', {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => kept.set(key, value),
  });
});

const QWEN = { temperature: 0.7, topP: 0.8, topK: 20, minP: 0, repetitionPenalty: 1.1 };

it('answers are drawn as the model suggests, but for what was changed, and there is a way back', () => {
  const sampling = new SamplingState();
  expect(sampling.summary).toBe('the usual: temperature 0.7, top-p 0.9');
  sampling.hints = QWEN;
  expect(sampling.summary).toBe("the model's own: temperature 0.7, top-p 0.8");
  expect(sampling.resolved).toMatchObject({ ...QWEN, maxNewTokens: 256, stop: [] });
  sampling.set('temperature', 0);
  sampling.set('topK', 5);
  expect(sampling.summary).toBe("the model's own: temperature 0 (changed), top-p 0.8, 1 more changed");
  expect(new SamplingState().changes).toEqual({ temperature: 0, topK: 5 });
  sampling.set('topK', 20); // what the model suggests itself
  expect(sampling.changes).toEqual({ temperature: 0 });
  sampling.reset();
  expect(sampling.resolved).toMatchObject(QWEN);
  expect(new SamplingState().changes).toEqual({});
});

it('values that an earlier version kept are changes where somebody chose them', () => {
  kept.set('graft.sampling', JSON.stringify({ temperature: 0, topP: 0.9, maxNewTokens: 128, seed: 3, stop: '' }));
  expect(new SamplingState().changes).toEqual({ temperature: 0, seed: 3 });
  kept.set('graft.sampling', JSON.stringify({ temperature: 'hot' }));
  expect(new SamplingState().changes).toEqual({});
});
