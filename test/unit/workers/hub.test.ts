import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Pause } from '../../../src/connections/pauses';
import { hubSource } from '../../../src/hub/source';
import { describeUsage } from '../../../src/recipes';
import { parseRunConfig } from '../../../src/core/config';
import { KeptModels } from '../../../src/storage/indexeddb';
import { HubDesk } from '../../../workers/hub/hub';
import { HubModels } from '../../../workers/hub/hub-models';
import { Sources } from '../../../workers/models/sources';
import { freshDatabase } from '../../support/browser-storage';
import { StandInHub } from '../../support/stand-in-hub';
import { expectError, jsonBytes, someBytes, useHub } from '../hub/support';

const ID = 'org/tiny';
const WEIGHTS = 'model.safetensors';
const held = useHub();

describe('the Hubs of a page', () => {
  test('get each its own token, also where the page goes from one to the other', async () => {
    const other = await StandInHub.start();
    try {
      for (const hub of [held.hub, other]) hub.add(ID, { 'config.json': jsonBytes({}) });
      held.hub.allow('hf_first');
      other.allow('hf_second');
      const secrets = [
        { origin: held.hub.url, secret: 'hf_first' },
        { origin: other.url, secret: 'hf_second' },
      ];
      const desk = new HubDesk();
      for (const { url } of [held.hub, other]) {
        desk.use({ endpoint: url, secrets });
        await desk.find('tiny', new AbortController().signal);
      }
      await desk.client(held.hub.url).model(ID);
      const sent = ({ requests }: StandInHub) => [...new Set(requests.map(({ authorization }) => authorization))];
      expect([sent(held.hub), sent(other)]).toEqual([['Bearer hf_first'], ['Bearer hf_second']]);
      desk.use({ endpoint: other.url, secrets: [] });
      await desk.find('tiny', new AbortController().signal);
      expect(other.requests.at(-1)!.authorization).toBeUndefined();
    } finally {
      await other.close();
    }
  });

  test('where one is refused, the one before stays; where none was, none is asked in its place', async () => {
    const desk = new HubDesk();
    const bad = { endpoint: 'hub', secrets: [] };
    await expectError(() => desk.use(bad), 'bad-config', /is no address of a Hub/);
    await expectError(() => desk.client(), 'bad-config', /is no address of a Hub/);
    desk.use({ ...bad, endpoint: held.hub.url });
    await expectError(() => desk.use(bad), 'bad-config', /is no address of a Hub/);
    expect(desk.client().endpoint).toBe(held.hub.url);
    expect(held.hub.requests).toEqual([]);
  });
});

test('pauses are told to the job that waits, also where it shares an open model with others', async () => {
  held.hub.add(ID, { [WEIGHTS]: someBytes(100_000) });
  const desk = new HubDesk();
  desk.use({ endpoint: held.hub.url, secrets: [] });
  const told: Record<string, string[]> = { first: [], second: [] };
  const startJob = (name: string) => {
    const { signal } = new AbortController();
    desk.pauses.listen(signal, ({ reason }: Pause) => void told[name]!.push(reason));
    return signal;
  };
  const [first, second] = [startJob('first'), startJob('second')];
  const source = hubSource(desk.client(), await desk.client().model(ID, 'main', first));
  const readAll = async (signal: AbortSignal) => {
    let bytes = 0;
    for await (const piece of source.stream!(WEIGHTS, 0, signal)) bytes += piece.byteLength;
    return bytes;
  };
  held.hub.faults.push({ host: 'cdn', status: 503, times: 1 });
  expect(await readAll(second)).toBe(100_000);
  expect(told).toEqual({ first: [], second: [expect.stringContaining('answered 503')] });
  held.hub.faults.push({ path: '/api/models', status: 429, headers: { 'retry-after': '0' }, times: 1 });
  await desk.find('tiny', first);
  expect(told['first']).toEqual([expect.stringContaining('too many requests')]);
});

test('a repository of one GGUF file is a folder in the layout of the Hub, and is named by that file elsewhere', async () => {
  const { commit } = held.hub.add('org/gguf', { 'm.gguf': readFileSync('test/golden/gguf/llama.gguf') });
  const desk = new HubDesk();
  desk.use({ endpoint: held.hub.url, secrets: [] });
  const database = await freshDatabase();
  const models = new HubModels(desk, database);
  const sources = new Sources('http://localhost/', new KeptModels(database), models);
  const ref = await models.resolve({ kind: 'hub', name: 'org/gguf', revision: 'main', commit: null });
  const opened = await models.open(ref);
  held.hub.faults.push({ status: 500 }); // what was read to open it is kept
  const source = await sources.model(ref);
  expect([source.name, source.commit]).toEqual([opened.name, commit]);
  expect(await source.read('config.json')).toBeInstanceOf(Uint8Array); // as a merged model needs it
  const run = parseRunConfig(`model_name_or_path: org/gguf\nrevision: ${commit}\n`);
  expect(describeUsage(run, 'my-run', source).python).toContain(`revision="${commit}", gguf_file="m.gguf")`);
});
