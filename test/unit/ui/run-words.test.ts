/** One word for each state of a run, wherever the page names it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { RunState } from '../../../src/core/library';
import { findAskObstacle } from '../../../src/ui/features/chat/ask-obstacle';
import { describeEnd, describeKept, RUN_STATES, titleEnd } from '../../../src/ui/features/runs/run-words';
import { settingLabel } from '../../../src/ui/features/runs/settings';
import { runRecord } from '../storage/support';

const UI = 'src/ui';
const WORDS = join(UI, 'features/runs/run-words.ts');
const last = { epoch: 1, step: 3, loss: 2 };

describe('a run that is over', () => {
  test.each(['finished', 'cancelled', 'failed', 'interrupted'] as const)('%s: has one word', (state: RunState) => {
    const word = RUN_STATES[state].toLowerCase();
    const record = runRecord('r', { state, totalSteps: 8, checkpointStep: 2 });
    for (const sentence of [titleEnd(state), describeEnd(record, last), describeEnd(record, undefined)]) {
      expect(sentence).toContain(word);
    }
    if (state === 'finished') expect(describeKept(record)).toBeUndefined();
    else expect(describeKept(record, 'faq')).toMatch(new RegExp(`^faq .*${word}: .* by step 2\\.$`));
    expect(describeKept({ ...record, checkpointStep: 0 })).toBeUndefined();
  });

  test('is named by these words alone: no other file has its own for one that was stopped', () => {
    const own = readdirSync(UI, { recursive: true, encoding: 'utf8' })
      .map((name) => join(UI, name))
      .filter((path) => /\.(svelte|ts)$/.test(path) && path !== WORDS)
      .flatMap((path) => texts(path).filter((text) => OF_ITS_OWN.test(text)).map((text) => `${path}: ${text}`)); // prettier-ignore
    expect(own).toEqual([]);
  });
});

const OF_ITS_OWN =
  /\b(cancell?ed|cancelling|aborted|terminated)\b|\b(the run|training) (is |was |has been )?(stopp|interrupt|fail)/i;

/** What of a source file may be read on the page: sentences in quotes, and what stands between tags. */
function texts(path: string): string[] {
  const source = readFileSync(path, 'utf8').replace(/<style>[^]*<\/style>|<!--[^]*?-->|\/\*[^]*?\*\/|\/\/ .*/g, '');
  const quoted = source.match(/'[^'\n]* [^'\n]*'|"[^"\n]* [^"\n]*"|`[^`]* [^`]*`/g) ?? [];
  const between = path.endsWith('.svelte')
    ? (source.replace(/<script[^]*<\/script>/, '').match(/>[^<>{}]*[a-z][^<>{}]*(?=[<{])/gi) ?? [])
    : [];
  return [...quoted, ...between];
}

test('the settings that everyone knows are called what everyone calls them', () => {
  const labels = (['learning_rate', 'lora_r', 'num_train_epochs', 'lora_alpha', 'max_length'] as const).map(
    settingLabel,
  );
  expect(labels).toEqual(['Learning rate', 'Rank', 'Epochs', 'Alpha', 'Maximum length']);
  expect(readFileSync(join(UI, 'features/chat/SamplingFields.svelte'), 'utf8')).toContain("label: 'Temperature'");
});

describe('two runs can be asked', () => {
  const files = [{ name: 'adapter_model.safetensors', size: 1 }];
  const run = (id: string, facts: Parameters<typeof runRecord>[1] = {}, left = files) => {
    return { record: runRecord(id, { state: 'finished', totalSteps: 8, ...facts }), files: left };
  };
  const pair = {
    runs: [run('a'), run('b')] as const,
    names: ['faq', 'faq, 2nd'] as const,
    hasModels: [true, true] as const,
    isTraining: false,
    isAnswering: false,
  };

  test('where both are over, and where one was stopped after a checkpoint', () => {
    expect(findAskObstacle(pair)).toBeUndefined();
    const stopped = run('b', { state: 'cancelled', checkpointStep: 2 }, []);
    expect(findAskObstacle({ ...pair, runs: [run('a'), stopped] })).toBeUndefined();
  });

  test('and otherwise one sentence says why not, and what to do', () => {
    const sentences = [
      findAskObstacle({ ...pair, isTraining: true }),
      findAskObstacle({ ...pair, runs: [run('a'), run('b', { state: 'running' }, [])] }),
      findAskObstacle({ ...pair, runs: [run('a', { state: 'cancelled', checkpointStep: 0 }, []), run('b')] }),
      findAskObstacle({ ...pair, hasModels: [true, false] }),
      findAskObstacle({ ...pair, isAnswering: true }),
    ];
    expect(sentences).toEqual([
      'The GPU is training: ask both when the run is over.',
      'faq, 2nd is training in another tab: ask both when it is over.',
      "faq can't answer: it ended before its first checkpoint.",
      expect.stringMatching(/^faq, 2nd can't answer: open the folder of its base model, .*, under Models\.$/),
      'The GPU is answering something else: ask both when it is done.',
    ]);
  });
});
