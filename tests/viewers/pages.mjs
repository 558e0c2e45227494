// What can be done and seen on a page of OHIF, by the elements that a reader uses, and by the viewport below them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const THUMBNAILS = '[data-cy="study-browser-thumbnail"], [data-cy="study-browser-thumbnail-no-image"]';

/** Open a study, wait for its picture and end the tour; resolves to the series that the viewer lists. */
export async function open(page, url, study) {
  await page.addInitScript(() => localStorage.removeItem('shownTours'));
  await page.goto(`${url}/viewer?StudyInstanceUIDs=${study}`);
  await page.waitForFunction(() => window.cornerstone?.getEnabledElements()[0]?.viewport.getImageIds?.().length);
  await page.getByText('Skip all').click();
  await page.locator(THUMBNAILS).first().waitFor();
  return page.locator(THUMBNAILS).allInnerTexts();
}

/** Open the series of a modality in the viewport. */
export async function openSeries(page, modality) {
  const labelled = page.locator('[data-cy="series-modality-label"]', { hasText: new RegExp(`^${modality}$`) });
  await page.locator(THUMBNAILS).filter({ has: labelled }).first().dblclick();
}

/** The texts of the rows of the open panel. */
export async function rows(page) {
  await page.locator('[data-cy="data-row"]').first().waitFor();
  const texts = await page.locator('[data-cy="data-row"]').allInnerTexts();
  return texts.map(text => text.replace(/\s+/g, ' '));
}

/** What the viewport shows once it has come to rest after an action. */
export async function shown(page, act = () => {}) {
  await act();
  let last = null;
  let now = '';
  while (now !== last) {
    await page.evaluate(() => cornerstone.getEnabledElements()[0].viewport.render());
    await page.waitForTimeout(500);
    [last, now] = [now, JSON.stringify(await pane(page))];
  }
  return JSON.parse(now);
}

/** The slice in the viewport, where its canvas lies in the patient (LPS, mm), and the lines and texts over it. */
export function pane(page) {
  return page.evaluate(() => {
    const { viewport } = cornerstone.getEnabledElements()[0];
    const [origin, right, down] = [[0, 0], [1, 0], [0, 1]].map(at => viewport.canvasToWorld(at));
    const number = (line, name) => Number(line.getAttribute(name));
    const drawn = [...document.querySelectorAll('svg.svg-layer line:is([data-id], :not([filter]))')];
    return {
      instance: viewport.getCurrentImageId().match(/instances\/([\d.]+)/)[1],
      canvas: { origin, right, down },
      lines: drawn.map(line => ['x1', 'y1', 'x2', 'y2'].map(name => number(line, name))),
      texts: [...document.querySelectorAll('svg.svg-layer tspan')].map(({ textContent }) => textContent),
    };
  });
}

/** Turn to these slices; the canvas of each, without the texts over it, goes to a picture. */
export async function walk(page, numbers, folder, name) {
  const slices = [];
  for (const k of numbers) {
    const picture = `${name}-${k}.png`;
    const url = await page.evaluate(turned, k);
    writeFileSync(join(folder, picture), Buffer.from(url.split(',')[1], 'base64'));
    slices.push({ ...(await pane(page)), picture });
  }
  return slices;
}

/** In the page: show slice k; resolves to its picture once it is drawn. */
async function turned(k) {
  const { viewport } = cornerstone.getEnabledElements()[0];
  const drawn = new Promise(resolve =>
    viewport.element.addEventListener(cornerstone.EVENTS.IMAGE_RENDERED, resolve, { once: true }),
  );
  await viewport.setImageIdIndex(k);
  viewport.render();
  await drawn;
  await new Promise(requestAnimationFrame);
  return viewport.canvas.toDataURL();
}
