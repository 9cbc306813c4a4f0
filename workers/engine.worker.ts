import { expose, proxy } from 'comlink';
import type { WorkerEntry } from '../src/protocol';
import { createGraftWorker } from './graft-worker';

const entry: WorkerEntry = { open: async (baseUrl) => proxy(await createGraftWorker(baseUrl)) };
expose(entry);
