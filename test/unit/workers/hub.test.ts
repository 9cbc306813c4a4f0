import { describe, expect, test } from 'vitest';
import type { Pause } from '../../../src/connections/pauses';
import { hubSource } from '../../../src/hub/source';
import { HubDesk } from '../../../workers/hub/hub';
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
