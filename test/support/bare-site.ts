/** The built page on a static host that knows of no `_headers`: files with their types, and nothing else. */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Record<string, string> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

export interface BareSiteOptions {
  /** The built page. */
  readonly folder?: string;
  /** The path that it is found at: begins and ends with a slash. */
  readonly base?: string;
  readonly port?: number;
}

/** `url` ends with a slash. Build the page first. */
export async function serveBareSite({ folder = 'dist/web', base = '/', port = 0 }: BareSiteOptions = {}): Promise<{
  url: string;
  port: number;
  close(): Promise<void>;
}> {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url ?? '/', 'http://x').pathname);
    const below = path.startsWith(base) ? path.slice(base.length) : 'nothing';
    const file = join(folder, below.endsWith('/') || below === '' ? `${below}index.html` : below);
    readFile(file).then(
      (bytes) => {
        response.setHeader('content-type', TYPES[extname(file)] ?? 'application/octet-stream');
        response.end(bytes);
      },
      () => response.writeHead(404).end(),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const taken = (server.address() as AddressInfo).port;
  return {
    url: `http://127.0.0.1:${taken}${base}`,
    port: taken,
    close: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
