/** A host on localhost that writes down all that reaches it: addresses, every header, bodies. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Received {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

type Answer = (request: Received, response: ServerResponse) => void;

export class RecordingHost {
  readonly received: Received[] = [];

  private constructor(private readonly server: Server) {}

  /** Answers preflights itself, and everything to every origin. @param answer must end the response */
  static async start(answer: Answer = (_, response) => void response.end('{}')): Promise<RecordingHost> {
    const server = createServer((request, response) => {
      void record(request).then((received) => {
        host.received.push(received);
        response.setHeader('access-control-allow-origin', '*');
        response.setHeader('access-control-allow-headers', request.headers['access-control-request-headers'] ?? '*');
        response.setHeader('content-type', 'application/json');
        if (request.method === 'OPTIONS') response.writeHead(204).end();
        else answer(received, response);
      });
    });
    const host = new RecordingHost(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return host;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  /** How many of the requests have `text` anywhere: in address, headers or body. */
  countRequestsWith(text: string): number {
    return this.received.filter((request) => JSON.stringify(request).includes(text)).length;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((done) => this.server.close(done));
  }
}

async function record(request: IncomingMessage): Promise<Received> {
  let body = '';
  for await (const piece of request) body += String(piece);
  const { method = '', url: path = '', headers } = request;
  return { method, path, headers, body };
}

/** An answer that sends the asker on. */
export function redirectTo(location: string, status = 302): Answer {
  return (_, response) => void response.writeHead(status, { location }).end();
}
