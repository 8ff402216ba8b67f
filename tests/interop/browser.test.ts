/** The report's page in a real browser: it is seen, in light and in dark, and it asks nothing of any network. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { GcReport } from "oci-registry-gc";
import { renderReport } from "oci-registry-gc/report";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EMPTY, HOSTILE, LARGE, REFUSED, SMALL } from "../support/reports.js";
import { Browser, type View } from "./support/browser.js";
import { decodePng, differing, shareOfCommonest } from "./support/png.js";
import { isOnPath } from "./support/tools.js";

const isMissing = !isOnPath("chromium");
if (isMissing && process.env["INTEROP"] === "required") throw new Error("INTEROP=required, but there is no chromium here");

const folder = mkdtempSync(join(tmpdir(), "oci-registry-gc-page-"));

describe.skipIf(isMissing)("in Debian's chromium", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await Browser.start();
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Opens a report's page; answers with its address. */
  async function open(report: GcReport, view: View): Promise<string> {
    const file = join(folder, "report.html");
    writeFileSync(file, renderReport(report));
    await browser.look(view);
    const url = pathToFileURL(file).href;
    await browser.open(url);
    return url;
  }

  const reports = Object.entries({ empty: EMPTY, small: SMALL, large: LARGE, refused: REFUSED, hostile: HOSTILE });

  test.each(reports)("%s: light and dark are seen, and differ; nothing is asked for, nothing complains", async (_, report) => {
    const pictures = [];
    for (const scheme of ["light", "dark"] as const) {
      const url = await open(report, { scheme, width: 1100 });
      const picture = decodePng(await browser.screenshot());
      expect(picture.width).toBe(1100);
      // Something is drawn, and it is more than a few pixels.
      expect(shareOfCommonest(picture)).toBeLessThan(0.999);
      expect(shareOfCommonest(picture)).toBeGreaterThan(0.1);
      expect(browser.requests).toEqual([url]);
      expect(browser.complaints).toEqual([]);
      pictures.push(picture);
    }
    const [light, dark] = pictures;
    expect(differing(light!, dark!)).toBeGreaterThan(0.9);
    expect(brightness(light!.pixels)).toBeGreaterThan(200);
    expect(brightness(dark!.pixels)).toBeLessThan(60);
  });

  test.each(reports)("%s: a narrow screen has nothing beside it, and tables scroll by themselves", async (_, report) => {
    for (const width of [320, 390, 768]) {
      await open(report, { scheme: "light", width });
      await browser.evaluate("for (const each of document.querySelectorAll('details')) each.open = true");
      expect(await browser.evaluate("document.documentElement.scrollWidth")).toBe(width);
    }
  });

  test("pictures have their size, and what folds opens", async () => {
    await open(LARGE, { scheme: "light", width: 1100 });
    const widths = await browser.evaluate<number[]>(
      "[...document.querySelectorAll('svg')].map((svg) => svg.getBoundingClientRect().width)",
    );
    expect(Math.min(...widths.filter((width) => width > 0))).toBeGreaterThan(100);
    const folded = "document.querySelector('#repositories').closest('section').querySelector('details')";
    const height = `${folded}.getBoundingClientRect().height`;
    const before = await browser.evaluate<number>(height);
    await browser.evaluate(`${folded}.querySelector("summary").click()`);
    expect(await browser.evaluate<number>(height)).toBeGreaterThan(before + 88 * 20);
  });

  test("names that are markup are text, and run nothing", async () => {
    await open(HOSTILE, { scheme: "light", width: 1100 });
    expect(await browser.evaluate("document.querySelectorAll('script, img, iframe, [onload], [onerror]').length")).toBe(0);
    expect(await browser.evaluate("document.body.innerText.includes('<script>')")).toBe(true);
    expect(await browser.evaluate("document.title")).toContain("Registry garbage collection");
  });

  test("all text stands out from what is behind it", async () => {
    for (const scheme of ["light", "dark"] as const) {
      await open(LARGE, { scheme, width: 1100 });
      expect(await browser.evaluate<string[]>(FAINT_TEXT)).toEqual([]);
    }
  });
});

function brightness(pixels: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 400) sum += pixels[i]!;
  return sum / Math.ceil(pixels.length / 400);
}

/** A script: the elements whose text has a contrast below 4.5 to 1, as WCAG counts it. */
const FAINT_TEXT = `(() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = channels(color).slice(0, 3).map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const color = getComputedStyle(each).backgroundColor;
      if (channels(color)[3] !== 0) return color;
    }
    return "rgb(255, 255, 255)";
  };
  const faint = new Set();
  for (const element of document.querySelectorAll("body *")) {
    if (![...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== "")) continue;
    const { color, fill } = getComputedStyle(element);
    if (element.tagName === "title") continue;
    const [a, b] = [light(element instanceof SVGElement ? fill : color), light(behind(element))].sort((m, n) => n - m);
    if ((a + 0.05) / (b + 0.05) < 4.5) faint.add(element.tagName + "." + element.getAttribute("class") + ": " + element.textContent.slice(0, 40));
  }
  return [...faint];
})()`;
