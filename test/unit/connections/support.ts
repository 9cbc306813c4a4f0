import { afterEach } from 'vitest';
import { Client, type ClientOptions } from '../../../src/connections/client';
import { RecordingHost } from '../../support/recording-host';

/** Fast enough for tests, in which every host is near. */
const QUICK = { firstDelayMs: 1, longestDelayMs: 4 };

export function quickClient(endpoint: string, options: ClientOptions = {}): Client {
  return new Client(endpoint, {
    stallMs: 5000,
    ...options,
    apiRetries: { ...QUICK, ...options.apiRetries },
    transferRetries: { ...QUICK, ...options.transferRetries },
  });
}

/** Starts hosts that are closed after each test of a file. */
export function useHosts(): typeof RecordingHost.start {
  const hosts: RecordingHost[] = [];
  afterEach(async () => {
    await Promise.all(hosts.splice(0).map((host) => host.close()));
  });
  return async (answer) => {
    const host = await RecordingHost.start(answer);
    hosts.push(host);
    return host;
  };
}
