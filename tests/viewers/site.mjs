// The built OHIF with our configuration, and the PACS behind the same origin, on a free port of loopback.

import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const VIEWER = join(HERE, 'node_modules/@ohif/app/dist');
const TYPES = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.png': 'image/png',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
  '.woff2': 'font/woff2',
};

/** Serve the viewer for a PACS; resolves to { url, close }. */
export async function site(pacs) {
  const server = createServer((asked, answer) => {
    const { pathname } = new URL(asked.url, 'http://viewer');
    if (pathname.startsWith('/dicom-web/')) forward(pacs, asked, answer);
    else file(pathname, answer);
  });
  await new Promise(listening => server.listen(0, '127.0.0.1', listening));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

function forward(pacs, asked, answer) {
  const passed = request(new URL(asked.url, pacs), { method: asked.method, headers: asked.headers }, reply => {
    answer.writeHead(reply.statusCode, reply.headers);
    reply.pipe(answer);
  });
  passed.on('error', () => answer.writeHead(502).end());
  asked.pipe(passed);
}

/** A file of the viewer; every other address is one of its pages. */
function file(pathname, answer) {
  const wanted = join(VIEWER, normalize(pathname));
  const found = existsSync(wanted) && statSync(wanted).isFile() ? wanted : join(VIEWER, 'index.html');
  const path = pathname === '/app-config.js' ? join(HERE, 'app-config.js') : found;
  const type = TYPES[extname(path)] ?? 'application/octet-stream';
  answer.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'max-age=3600' });
  createReadStream(path).pipe(answer);
}
