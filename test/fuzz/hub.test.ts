/** What a hostile Hub may answer: broken lists of files and models, and broken HTTP around the bytes of a file. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import type { AddressInfo } from 'node:net';
import { afterAll } from 'vitest';
import { HubClient } from '../../src/hub/client';
import { hubSource } from '../../src/hub/source';
import { fuzz } from './harness';
import { mutateJson, mutateText } from './mutate';
import type { Random } from './random';

const QUICK = { attempts: 2, firstDelayMs: 1, longestDelayMs: 2, longestWaitMs: 50 };
const COMMIT = 'a'.repeat(40);
const CONTENT = '{"model_type": "llama"}';

const MODEL = JSON.stringify({
  id: 'org/tiny',
  sha: COMMIT,
  gated: false,
  private: false,
  downloads: 5,
  likes: 2,
  config: { model_type: 'llama', architectures: ['LlamaForCausalLM'] },
  safetensors: { parameters: { F32: 10 }, total: 10 },
  tags: ['license:mit'],
  siblings: [
    { rfilename: 'config.json', size: CONTENT.length, blobId: 'b'.repeat(40) },
    { rfilename: 'model.safetensors', size: 40, lfs: { sha256: 'c'.repeat(64), size: 40, pointerSize: 134 } },
    { rfilename: 'onnx/model.onnx', size: 12 },
  ],
});
const VALUES = [
  '"manual"',
  '"../../x"',
  '".."',
  '"org/tiny"',
  `"${COMMIT}"`,
  '"a\\nb"',
  '"\\ud800"',
  '9007199254740991',
];

fuzz('Hub listings', {
  make: (random) => {
    const isSearch = random.chance(0.3);
    return { isSearch, bytes: mutateJson(isSearch ? `[${MODEL}, ${MODEL}]` : MODEL, random, VALUES) };
  },
  read: async ({ isSearch, bytes }) => {
    const answer = (body: BodyInit) => Promise.resolve(new Response(body, { headers: { 'content-type': 'x' } }));
    const asked: string[] = [];
    const client = new HubClient({
      fetch: (url) => {
        asked.push(url as string);
        return answer(asked.length === 1 ? (bytes as Uint8Array<ArrayBuffer>) : CONTENT);
      },
      apiRetries: QUICK,
      transferRetries: QUICK,
    });
    if (isSearch) return client.search('x');
    const source = hubSource(client, await client.model('org/tiny'));
    for (const name of await source.list()) await source.read(name, 0, Math.min(8, (await source.size(name))!));
    const outside = asked.find(
      (url) => !/^https:\/\/huggingface\.co\/(api|[\w.-]+\/[\w.-]+\/resolve\/[0-9a-f]{40}\/.)/.test(new URL(url).href),
    );
    if (outside !== undefined) throw new Error(`asked ${outside}`);
    return source;
  },
  bytes: ({ bytes }) => bytes,
  readable: 0.2,
});

/** The bytes that a host sends for one request, and then it hangs up. */
interface RawAnswer {
  readonly head: string;
  readonly body: string;
}

/** Hosts on this machine alone, and what is no host. */
const LOCATIONS = [
  '/',
  '/again',
  '//',
  'http:',
  'http://',
  'javascript:alert(1)',
  'data:text/plain,x',
  'file:///etc/passwd',
  '',
  '%',
  'http://127.0.0.1:1/',
  'http://[::1',
  'ftp://127.0.0.1/',
];
const STATUSES = [
  200, 200, 200, 206, 206, 206, 204, 301, 302, 303, 307, 308, 304, 400, 401, 403, 404, 416, 418, 429, 500, 503, 599,
];
const HEADERS = [
  'content-range: bytes 0-22/23',
  'content-range: bytes 5-22/23',
  'content-range: bytes 0-22/*',
  'etag: "b"',
  'etag: W/"c"',
  `x-repo-commit: ${COMMIT}`,
  'x-error-code: GatedRepo',
  'x-error-code: RevisionNotFound',
  'x-error-message: Invalid credentials in Authorization header',
  'retry-after: 0',
  'retry-after: Thu, 01 Jan 1970 00:00:00 GMT',
  'ratelimit: "api";r=0;t=0',
  'link: <https://huggingface.co/api/models?cursor=x>; rel="next"',
  'content-type: application/json',
  'content-type: text/html; charset=utf-8',
  'transfer-encoding: chunked',
  'content-length: 23',
  'content-length: 7',
  'content-length: 99999999999999',
];
const WORDS = [
  '\r\n',
  '\r\n\r\n',
  ': ',
  ',',
  ';',
  '=',
  '"',
  '-1',
  '0',
  '1e999',
  '99999999999999999999',
  '*',
  'bytes',
  '\0',
  'é',
];

function makeAnswer(random: Random): RawAnswer {
  const status = random.pick(STATUSES);
  const lines = Array.from({ length: random.below(5) }, () => random.pick(HEADERS));
  const head = [`HTTP/1.1 ${status} OK`, ...lines, 'connection: close'].join('\r\n');
  // Never broken: a made-up address could be one of somebody.
  const location = random.chance(0.3) ? `\r\nlocation: ${random.pick(LOCATIONS)}` : '';
  const changed = random.chance(0.6) ? head : mutateText(head, random, WORDS);
  const body = random.chance(0.6) ? CONTENT : mutateText(CONTENT, random, WORDS);
  return { head: `${changed.replaceAll(/location/gi, 'x')}${location}`, body };
}

let server: Server | undefined;
afterAll(() => server?.close());

fuzz('Hub transfers', async () => {
  let answers: RawAnswer[] = [];
  let asked = 0;
  server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.once('data', () => {
      const { head, body } = answers[Math.min(asked++, answers.length - 1)]!;
      socket.end(`${head}\r\n\r\n${body}`);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const client = new HubClient({ endpoint, token: 'hf_x', stallMs: 500, apiRetries: QUICK, transferRetries: QUICK });
  const files = new Map([['config.json', { name: 'config.json', size: CONTENT.length }]]);
  const repo = { id: 'org/tiny', revision: 'main', commit: COMMIT, files, gated: false, private: false } as const;
  const counts = { downloads: 0, likes: 0, modelType: undefined, architectures: [], parameters: undefined };
  const source = hubSource(client, { ...repo, ...counts, licence: undefined });
  return {
    make: (random: Random) => Array.from({ length: 1 + random.below(3) }, () => makeAnswer(random)),
    read: async (made: RawAnswer[]) => {
      answers = made;
      asked = 0;
      const bytes = await source.read('config.json');
      if (bytes.byteLength !== CONTENT.length) throw new Error(`read ${bytes.byteLength} bytes`);
    },
    readable: 0.1,
  };
});
