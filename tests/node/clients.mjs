// Node's HTTP clients as they come: http or https, http2, and fetch. Arguments: the URL, and a file of authorities (which
// NODE_EXTRA_CA_CERTS names too, for fetch).
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';

const [url, authorities] = process.argv.slice(2);
const secure = url.startsWith('https');
const ca = fs.readFileSync(authorities);
const blob = Buffer.alloc(1 << 20, Buffer.from([...Array(256).keys()]));

async function gather(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

function ask(agent, method, path, headers, parts) {
  return new Promise((good, bad) => {
    const options = { method, headers, agent, ca };
    const request = (secure ? https : http).request(url + path, options, async answer => {
      good({ answer, body: await gather(answer) });
    });
    request.on('error', bad);
    request.on('continue', () => { request.continued = true; request.end('at last'); });
    if (headers?.expect) { request.flushHeaders(); return; }
    for (const part of parts ?? []) request.write(part);
    request.end();
  });
}

async function withHttp1() {
  const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: 4 });
  const whole = await ask(agent, 'GET', '/blob');
  assert(whole.body.equals(blob));
  const sent = await ask(agent, 'POST', '/echo', {}, Array(10).fill('x'.repeat(50_000)));
  assert.equal(sent.answer.headers['x-framing'], 'chunked');
  assert.equal(sent.body.length, 500_000);
  const told = await ask(agent, 'PUT', '/echo', { expect: '100-continue', 'content-length': 7 });
  assert.equal(told.body.toString(), 'at last');
  const headed = await ask(agent, 'HEAD', '/blob');
  assert.deepEqual([headed.answer.headers['content-length'], headed.body.length], [String(blob.length), 0]);
  const all = await Promise.all([...Array(200).keys()].map(n => ask(agent, 'GET', `/echo?${n}`)));
  assert(all.every(({ answer }) => answer.statusCode === 200));
  agent.destroy();
}

async function withHttp2() {
  const session = http2.connect(url, { ca });
  const stream = (headers, parts) => new Promise((good, bad) => {
    const request = session.request(headers, { endStream: !parts });
    let head;
    request.on('response', fields => { head = fields; });
    request.on('error', bad);
    for (const part of parts ?? []) request.write(part);
    if (parts) request.end();
    gather(request).then(body => good({ head, body }), bad);
  });
  const whole = await stream({ ':path': '/blob' });
  assert(whole.body.equals(blob));
  const sent = await stream({ ':path': '/echo', ':method': 'POST' }, Array(10).fill('x'.repeat(50_000)));
  assert.equal(sent.body.length, 500_000);
  const ranged = await stream({ ':path': '/blob', range: 'bytes=256-511' });
  assert.deepEqual([ranged.head[':status'], ranged.body.length], [206, 256]);
  const all = await Promise.all([...Array(90).keys()].map(n => stream({ ':path': `/echo?${n}` })));
  assert(all.every(({ head }) => head[':status'] === 200));
  session.close();
}

async function withFetch() {
  assert.equal(Buffer.compare(Buffer.from(await (await fetch(url + '/blob')).arrayBuffer()), blob), 0);
  const sent = await fetch(url + '/echo', { method: 'POST', body: 'x'.repeat(500_000) });
  assert.equal((await sent.text()).length, 500_000);
  const parts = new ReadableStream({
    start(to) {
      for (let n = 0; n < 20; n += 1) to.enqueue(new TextEncoder().encode('piece'.repeat(1000)));
      to.close();
    },
  });
  const streamed = await fetch(url + '/echo', { method: 'POST', body: parts, duplex: 'half' });
  assert.equal(streamed.headers.get('x-framing'), 'chunked');
  assert.equal((await streamed.text()).length, 100_000);
}

await withHttp1();
await withHttp2();
await withFetch();
