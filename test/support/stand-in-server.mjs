#!/usr/bin/env node
/**
 * Stands in for llama-server and ollama, whichever it is called: the same flags, the same places under HTTP, and an answer
 * that the test gives it in STAND_IN, as JSON: `{answer, promptTokens, crash, loads}`.
 */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { basename } from 'node:path';

const { answer = '', promptTokens, crash, loads = 0, log } = JSON.parse(process.env.STAND_IN ?? '{}');
const argv = process.argv.slice(2);
const isOllama = basename(process.argv[1] ?? '') === 'ollama';
if (log) appendFileSync(log, `${JSON.stringify(argv)}\n`);

if (crash) {
  process.stderr.write(`${crash}\n`);
  process.exit(1);
}
if (isOllama && argv[0] === 'create') process.exit(0);

const port = isOllama ? process.env.OLLAMA_HOST?.split(':')[1] : argv[argv.indexOf('--port') + 1];
let looks = 0;
createServer((request, response) => {
  /** @param {number} status @param {object} body */
  const reply = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  if (request.url === (isOllama ? '/api/version' : '/health')) {
    reply(looks++ < loads ? 503 : 200, {});
  } else if (request.url === '/v1/chat/completions') {
    let text = '';
    request.on('data', (piece) => (text += piece));
    request.on('end', () => {
      if (log) appendFileSync(log, `${text}\n`);
      const message = { role: 'assistant', content: answer };
      reply(200, { choices: [{ message }], usage: { prompt_tokens: promptTokens } });
    });
  } else reply(404, {});
}).listen(Number(port), '127.0.0.1');
