import { afterEach, beforeEach, expect } from 'vitest';
import { GraftError, type ErrorCode } from '../../../src/core/errors';
import { HubClient, type HubClientOptions } from '../../../src/hub/client';
import { hubSource } from '../../../src/hub/source';
import type { FileSource } from '../../../src/core/store';
import { StandInHub } from '../../support/stand-in-hub';

/** Fast enough for tests, in which every host is near. */
const QUICK = { firstDelayMs: 1, longestDelayMs: 4 };

/** A stand-in Hub for each test of a file. */
export function useHub(): { readonly hub: StandInHub } {
  const held: { hub: StandInHub } = { hub: undefined as never };
  beforeEach(async () => {
    held.hub = await StandInHub.start();
  });
  afterEach(() => held.hub.close());
  return held;
}

export function quickClient(hub: StandInHub, options: HubClientOptions = {}): HubClient {
  return new HubClient({
    endpoint: hub.url,
    stallMs: 5000,
    ...options,
    apiRetries: { ...QUICK, ...options.apiRetries },
    transferRetries: { ...QUICK, ...options.transferRetries },
  });
}

export async function openSource(hub: StandInHub, id: string, options?: HubClientOptions): Promise<FileSource> {
  const client = quickClient(hub, options);
  return hubSource(client, await client.model(id));
}

/** Bytes that differ everywhere, so that none can be mistaken for another. */
export function someBytes(length: number): Uint8Array {
  const words = Uint32Array.from({ length: Math.ceil(length / 4) }, (_, i) => Math.imul(i + 1, 0x9e3779b1));
  return new Uint8Array(words.buffer, 0, length);
}

export function jsonBytes(value: unknown): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value));
}

export async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** Expects a GraftError of this code whose message matches, and returns the message. */
export async function expectError(action: () => unknown, code: ErrorCode, message: RegExp): Promise<string> {
  const error: unknown = await Promise.resolve()
    .then(action)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  expect(error).toBeInstanceOf(GraftError);
  const { code: found, message: text } = error as GraftError;
  expect([found, text]).toEqual([code, expect.stringMatching(message)]);
  return text;
}
