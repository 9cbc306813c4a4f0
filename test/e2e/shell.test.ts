import { expect } from 'vitest';
import { test } from '../support/browser';
import { axeViolations } from '../support/page';

test('the page loads without a console error', async ({ page, site }) => {
  await page.goto(site.url);
  expect(await page.title()).toContain('Graft');
});

test('a worker is started before the page asks for it, once, and what it can not be had for is said', async ({
  page,
  site,
  problems,
}) => {
  await page.goto(site.url);
  await page.locator('[data-testid=start]:enabled').waitFor();
  const scripts = () => page.workers().map((worker) => /^blob:/.test(worker.url()));
  await expect.poll(scripts).toEqual([true, true]); // that for text and that for the GPU
  await page.route(/text\.worker-.*\.js$/, (route) => route.abort());
  await page.reload();
  await page.getByText('The reader stopped working').first().waitFor();
  problems.splice(0);
});

test('where the script of the page does not come, that is said with a heading and a way to load it again', async ({
  page,
  site,
  problems,
}) => {
  await page.route(/\/assets\/mount-app-.*\.js$/, (route) => route.abort());
  await page.goto(`${site.url}#/runs`);
  const heading = page.getByRole('main').getByRole('heading', { level: 1, name: 'The page could not be loaded' });
  await heading.waitFor();
  expect(await page.evaluate(() => document.activeElement?.localName)).toBe('h1');
  expect(await axeViolations(page)).toEqual([]);
  await page.unrouteAll();
  await page.getByRole('link', { name: 'Reload' }).click();
  await page.getByRole('heading', { level: 1, name: 'Runs', exact: true }).waitFor(); // where it was
  expect(await heading.count()).toBe(0);
  problems.splice(0);
});

test('where the page can not be started, that is said in its place', async ({ page, site, problems }) => {
  await page.addInitScript(() => {
    const { matchMedia } = globalThis;
    globalThis.matchMedia = (query) => {
      if (query.includes('40rem')) throw new Error('no media here'); // of the steps, which the workspace makes
      return matchMedia(query);
    };
  });
  await page.goto(site.url);
  await page.getByText('It could not be started (no media here): reload it, or open it in another browser.').waitFor();
  expect(await page.evaluate(() => document.activeElement?.localName)).toBe('h1');
  expect(problems.splice(0).join()).toContain('no media here');
});

test('every response carries the content security policy', async ({ page, site }) => {
  const policies = new Map<string, string | undefined>();
  page.on('response', (response) => policies.set(response.url(), response.headers()['content-security-policy']));
  await page.goto(site.url);
  expect(policies.size).toBeGreaterThan(1);
  for (const [url, policy] of policies) {
    if (url.startsWith('blob:')) continue; // a worker started from the page's own memory, which has the page's policy
    expect(policy, url).toContain("default-src 'self'");
  }
});

test('the page is isolated and runs no script written into it', async ({ page, site, problems }) => {
  await page.goto(site.url);
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  const ran = await page.evaluate(() => {
    const script = document.createElement('script');
    script.textContent = 'document.title = "changed"';
    document.body.append(script);
    return document.title === 'changed';
  });
  expect(ran).toBe(false);
  await expect.poll(() => problems.splice(0).join('\n')).toContain('inline script');
});

test('the page reaches no host beside the Hub', async ({ page, site, problems }) => {
  await page.goto(site.url);
  const answer = await page.evaluate(() => fetch('https://example.com/').then(String, String));
  expect(answer).toContain('Failed to fetch');
  await expect.poll(() => problems.splice(0).join('\n')).toContain('connect-src');
});

test('a missing file is a 404, not the page', async ({ page, site }) => {
  const response = await page.request.get(`${site.url}models/none/config.json`);
  expect(response.status()).toBe(404);
});

test('WebGPU computes in this browser', async ({ page, site }) => {
  await page.goto(site.url);
  const result = await page.evaluate(async () => {
    const adapter = await navigator.gpu.requestAdapter();
    if (!adapter) return undefined;
    const device = await adapter.requestDevice();
    const code = `@group(0) @binding(0) var<storage, read_write> x: array<u32>;
      @compute @workgroup_size(4) fn main(@builtin(local_invocation_index) i: u32) { x[i] = i * i; }`;
    const compute = { module: device.createShaderModule({ code }) };
    const pipeline = device.createComputePipeline({ layout: 'auto', compute });
    const buffer = device.createBuffer({ size: 16, usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC });
    const readback = device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    const entries = [{ binding: 0, resource: { buffer } }];
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(buffer, 0, readback, 0, 16);
    device.queue.submit([encoder.finish()]);
    await readback.mapAsync(GPUMapMode.READ);
    return [...new Uint32Array(readback.getMappedRange())];
  });
  expect(result).toEqual([0, 1, 4, 9]);
});
