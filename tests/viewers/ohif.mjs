// Opens studies in OHIF in Chromium as a reader would, and writes what it sees there.
//
//     echo '{"pacs": URL, "browser": PATH, "out": FOLDER, "visits": [VISIT, ...]}' | node ohif.mjs
//
// A visit is {"name": ..., "study": UID, "open": ["SEG", "SR"], "slices": [0, 1]}; the slices, from the head, are those
// of which a picture is taken with the SEG. FOLDER/seen.json has an entry for every visit; the pictures that it names
// lie beside it, and a screenshot of every series that was opened: NAME-MODALITY.png.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { open, openSeries, pane, rows, shown, walk } from './pages.mjs';
import { site } from './site.mjs';

const SOFTWARE_GL = ['--use-gl=angle', '--use-angle=swiftshader', '--enable-unsafe-swiftshader'];
const PATIENCE_MS = 120000;
const asked = JSON.parse(readFileSync(0, 'utf8'));
mkdirSync(asked.out, { recursive: true });

const READ = { SEG: segmentation, SR: report, OT: images };

async function visit(context, url, { name, study, open: modalities, slices }) {
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const seen = { errors: [] };
  watch(page, seen.errors);
  try {
    seen.series = await open(page, url, study);
    for (const modality of modalities) {
      await openSeries(page, modality);
      seen[modality] = await READ[modality](page, `${name}-${modality}`, slices);
    }
  } catch (error) {
    seen.errors.push(`driver: ${error.message}`);
    await keep(page, `${name}-failed`);
  }
  await page.close();
  return seen;
}

/** What the viewer complains about. */
function watch(page, errors) {
  page.on('pageerror', error => errors.push(`exception: ${error.message}`));
  page.on('console', said => said.type() === 'error' && errors.push(`console: ${said.text()}`));
  page.on('response', answer => answer.status() >= 400 && errors.push(`${answer.status()}: ${answer.url()}`));
}

/** Load a SEG: the rows of the panel, where a click on each leads, and the pictures of slices. */
async function segmentation(page, name, numbers) {
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.locator('[data-cy="panelSegmentation-btn"]').click();
  const panel = await rows(page);
  const jumps = [];
  for (let n = 0; n < panel.length; n++) jumps.push(await shown(page, () => clickRow(page, n)));
  await shown(page, () => clickRow(page, 0));
  await keep(page, name);
  const segments = await page.evaluate(() =>
    services.segmentationService.getSegmentations().flatMap(({ segments }) =>
      Object.values(segments).map(({ label, cachedStats }) => ({ label, stats: cachedStats.namedStats })),
    ),
  );
  return { rows: panel, segments, jumps, slices: await walk(page, numbers, asked.out, name) };
}

/** Open a report: its text; or one slice after the other with what is drawn there; or what the panel takes over. */
async function report(page, name) {
  const opened = await page.waitForFunction(openedReport);
  const { nodules, isTaken } = await opened.jsonValue();
  if (isTaken) return { nodules, ...(await taken(page, name)) };
  const slices = nodules.length ? [await shown(page)] : [];
  await keep(page, name);
  for (let n = 1; n < nodules.length; n++)
    slices.push(await shown(page, () => page.locator('[data-cy="viewport-action-arrows-right"]').click()));
  return { nodules, slices, text: await page.locator('[data-cy="viewport-grid"]').innerText() };
}

/** In the page: the nodules of the report in the viewport, once they are drawn, or none once there is a text. */
function openedReport() {
  const grid = services.viewportGridService;
  const [uid] = grid.getDisplaySetsUIDsForViewport(grid.getActiveViewportId());
  const { Modality, isLoaded, isRehydratable, measurements } = services.displaySetService.getDisplaySetByUID(uid);
  if (Modality !== 'SR' || !isLoaded) return null;
  const pane = document.querySelector('[data-cy="viewport-grid"]');
  const hasText = !pane.querySelector('canvas') && /\w/.test(pane.innerText.replace('Loading...', ''));
  if (!(measurements.length ? pane.querySelector('svg.svg-layer line') : hasText)) return null;
  const nodules = measurements.map(({ TrackingIdentifier, labels }) => ({ name: TrackingIdentifier, labels }));
  return { nodules, isTaken: isRehydratable };
}

/** Let the measurement panel take the axes over, as OHIF offers. */
async function taken(page, name) {
  await page.getByRole('button', { name: 'Yes' }).click();
  await page.locator('[data-cy="trackedMeasurements-btn"]').click();
  const panel = await rows(page);
  const slices = [];
  for (let n = 0; n < panel.length; n++) slices.push(await shown(page, () => clickRow(page, n)));
  await keep(page, name);
  return { rows: panel, slices };
}

/** Images that are no slices: all of them. */
async function images(page, name) {
  const opened = await page.waitForFunction(openedImages);
  const count = await opened.jsonValue();
  await keep(page, name);
  return { slices: await walk(page, [...Array(count).keys()], asked.out, name) };
}

/** In the page: how many images the series in the viewport has, once the first is there. */
function openedImages() {
  const grid = services.viewportGridService;
  const [uid] = grid.getDisplaySetsUIDsForViewport(grid.getActiveViewportId());
  const { Modality, SeriesInstanceUID } = services.displaySetService.getDisplaySetByUID(uid);
  const viewport = cornerstone.getEnabledElements()[0]?.viewport;
  if (Modality !== 'OT' || !viewport?.getCurrentImageId()?.includes(SeriesInstanceUID)) return null;
  return viewport.getImageIds().length;
}

/** A screenshot, without what opens where the mouse rests. */
async function keep(page, name) {
  await page.mouse.move(0, 0);
  await page.waitForTimeout(500);
  await page.screenshot({ path: join(asked.out, `${name}.png`) });
}

const clickRow = (page, n) => page.locator('[data-cy="data-row"]').nth(n).click();

const served = await site(asked.pacs);
const browser = await chromium.launch({ executablePath: asked.browser, args: ['--no-sandbox', ...SOFTWARE_GL] });
const context = await browser.newContext({ viewport: asked.viewport ?? { width: 1100, height: 700 } });
const seen = {};
for (const each of asked.visits) seen[each.name] = await visit(context, served.url, each);
writeFileSync(join(asked.out, 'seen.json'), JSON.stringify(seen, null, 1));
await browser.close();
served.close();
