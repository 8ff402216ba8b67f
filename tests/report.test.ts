/** A report for people: the text, the page, and that what a registry holds can't break out of either. */

import type { GcReport } from "oci-registry-gc";
import { markAndSweep, openRegistry } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { formatReport, renderReport } from "oci-registry-gc/report";
import { type DefaultTreeAdapterMap, parse } from "parse5";
import { describe, expect, test } from "vitest";
import { DRY, EMPTY, HOSTILE, LARGE, MARKUP, NOTHING, REFUSED, SMALL } from "./support/reports.js";

type Node = DefaultTreeAdapterMap["node"];
type Element = DefaultTreeAdapterMap["element"];

/** A page, parsed as a browser does it; whatever the parser has to put up with is an error. */
function parsePage(page: string): { readonly elements: readonly Element[]; readonly text: string } {
  const errors: string[] = [];
  const document = parse(page, {
    onParseError: ({ code, startLine }) => errors.push(`${code} in line ${startLine}`),
    sourceCodeLocationInfo: true,
  });
  expect(errors).toEqual([]);
  const elements: Element[] = [];
  let text = "";
  const visit = (node: Node) => {
    if ("tagName" in node) elements.push(node);
    if (node.nodeName === "#text" && "value" in node) text += node.value;
    if ("childNodes" in node) for (const child of node.childNodes) visit(child);
  };
  visit(document);
  return { elements, text };
}

const attribute = ({ attrs }: Element, name: string) => attrs.find((each) => each.name === name)?.value;

const ABORTED: GcReport = { ...SMALL, status: "aborted", deleted: { ...NOTHING, blobs: 3, bytes: 1024 } };
const FAILED: GcReport = {
  ...SMALL,
  status: "completed-with-failures",
  deleted: { ...SMALL.deleted, blobs: 6 },
  failures: [{ path: "/blobs/1", code: "DRIVER_ERROR", message: "permission denied" }],
  failureCount: 1,
};
const MANY: GcReport = {
  ...LARGE,
  problems: Array.from({ length: 1000 }, (_, i) => ({
    kind: i % 3 === 0 ? "not-json" : "empty-link",
    path: `/p/${i}`,
    message: "is wrong",
  })),
  problemCount: 12_345,
  failures: Array.from({ length: 1000 }, (_, i) => ({ path: `/f/${i}`, code: "DRIVER_ERROR", message: "denied" })),
  failureCount: 1000,
};
const HUGE: GcReport = {
  ...LARGE,
  eligible: { ...NOTHING, blobs: 2 ** 53 - 1, bytes: Number.MAX_VALUE },
  deleted: { ...NOTHING, blobs: 2 ** 53 - 1, bytes: Number.MAX_VALUE },
  durationsMs: { inventory: 1e15, mark: Number.MAX_VALUE / 4, sweep: 0.25, total: Number.MAX_VALUE / 2 },
  storageCalls: { list: Number.MAX_VALUE / 2 },
};

const ALL = { EMPTY, SMALL, LARGE, DRY, REFUSED, ABORTED, FAILED, MANY, HUGE, HOSTILE };

describe("as text", () => {
  test("a small run, whole", () => {
    expect(`\n${formatReport(SMALL)}\n`).toBe(`
Registry garbage collection: completed
  Run 6a1f0f4e-6f0b-4f27-9d1c-2f6f3f0a7c11
  On filesystem, began 2026-03-01 04:00:00 UTC
  Safety: nothing writes to the registry, says the caller: garbage is deleted at
  once

Gone               Count     Size  Why
blobs                  7  3.0 MiB  no kept manifest reaches them
layer links            5           no kept manifest of their repository reaches
                                   the layer
manifests              2           nothing keeps them
tag index entries      1           their manifest goes

Repository     Size  Manifests  Layer links  Tag entries
tools/ci    2.0 MiB          1            3            0
shop/web    1.0 MiB          1            2            1

Blobs          Count     Size  Why
blobs in use      17           a kept manifest reaches them
blobs deleted      7  3.0 MiB  no kept manifest reached them

Plan and outcome     To go  Deleted
blobs                    7        7
their size         3.0 MiB  3.0 MiB
manifests                2        2
layer links              5        5
tag index entries        1        1

Phase        Time  Share  What for
inventory  300 ms    20%  every blob is listed
mark       900 ms    60%  every repository is read, and what it needs is marked
sweep      200 ms    13%  the plan is carried out
other      100 ms     7%  locks, guards, the plan, and hooks between the phases

55 storage calls: list 40, getContent 12, deleteFiles 3

Deleted 7 blobs (3.0 MiB), 2 manifests, 5 layer links, 1 tag index entry; 17
blobs in use; 1.5 s.
`);
  });

  test.each([
    ["nothing", EMPTY, "Nothing to delete; 0 blobs in use; 0 ms."],
    ["a dry run", { ...SMALL, dryRun: true, deleted: NOTHING }, "Would delete 7 blobs (3.0 MiB), 2 manifests"],
    ["a dry run", { ...SMALL, dryRun: true, deleted: NOTHING }, "- Nothing was changed: this was a dry run."],
    ["an online dry run", DRY, "Would put aside 6,204 blobs (812.4 GiB), 412 manifests, and delete 9,870 layer"],
    ["refused", REFUSED, "Nothing was deleted. 17 blobs in use"],
    ["refused", REFUSED, "! The run was refused: the error that it ended with says why"],
    ["aborted", ABORTED, "Deleted by then: 3 blobs (1.0 KiB). 17 blobs in use"],
    ["aborted", ABORTED, "blobs to go        4"],
    ["failures", FAILED, "Could not be deleted:\n  /blobs/1: permission denied (DRIVER_ERROR)"],
    ["failures", FAILED, "blobs not deleted      1"],
    ["quarantined", LARGE, "- Put aside 6,150 blobs (801.1 GiB): nothing of it is freed before a later run\n  purges it"],
    ["restored", LARGE, "- Put back at once, since something came to need it: 52 blobs (11.2 GiB)."],
    ["returned", LARGE, "- Brought back, since something needs it: 9 blobs (1.4 GiB) of earlier runs."],
    ["purged", LARGE, "- Purged of earlier runs: 4,100 blobs (512.6 GiB), 300 manifests, 12 layer\n  links, 290 tag index entries."],
    ["young", LARGE, "- Kept because of the grace period: 1,204 blobs"],
    ["damage", LARGE, "! Kept because their repository is damaged: 311 blobs."],
    ["unrecognized", LARGE, "- Left alone, since no registry wrote it: 3 files or directories."],
    ["many", MANY, "  ... and 12,335 more problems"],
    ["many", MANY, "not-json: a manifest that is no JSON. Push the image again"],
    ["many repositories", LARGE, "  ... and 90 more repositories"],
  ] as const)("%s: %#", (_, report, expected) => {
    expect(formatReport(report)).toContain(expected);
  });

  test.each(Object.entries(ALL))("%s: lines fit, but for paths, and no line ends in spaces", (_, report) => {
    for (const width of [40, 60, 80, 120]) {
      for (const line of formatReport(report, { width }).split("\n")) {
        expect(line).not.toMatch(/\s$/);
        const long = line.split(/ +/).some((word) => word.length > 30);
        if (width >= 80 && !long && !line.includes("/f/") && !line.includes("/blobs/") && report !== HUGE && report !== HOSTILE)
          expect(line.length, line).toBeLessThanOrEqual(width);
      }
    }
  });

  test("colours are for those who ask; the text is the same", () => {
    for (const report of Object.values(ALL)) {
      const plain = formatReport(report);
      expect(plain).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
      const colored = formatReport(report, { color: true });
      expect(colored).toContain("\u001b[1m");
      expect(colored.replaceAll(/\u001b\[\d+m/g, "")).toBe(plain);
    }
  });

  test("what a registry holds can't move the cursor, and is seen", () => {
    expect(formatReport(HOSTILE)).toContain("a\\x1b[31mred\\x07\\x9b2J\\x0d\\n\\u202egnp.exe\\ud800");
  });

  test("long names keep both ends", () => {
    const name = `platform/${"very/".repeat(30)}last`;
    const text = formatReport({ ...SMALL, repositories: [{ name, manifests: 1, layerLinks: 1, tagIndexEntries: 1, bytes: 5 }] });
    expect(text).toMatch(/^platform\/very.*….*very\/last +5 B +1 +1 +1$/m);
  });
});

describe("as a page", () => {
  test.each(Object.entries(ALL))("%s: is well formed, whole in itself, and can be read without seeing it", (_, report) => {
    const page = renderReport(report);
    const { elements } = parsePage(page);
    const named = (name: string) => elements.filter(({ tagName }) => tagName === name);
    expect(named("script")).toEqual([]);
    expect(elements.filter(({ attrs }) => attrs.some(({ name }) => name === "src" || name.startsWith("on")))).toEqual([]);
    expect(elements.map((each) => attribute(each, "href")).filter((href) => href !== undefined)).toEqual(["data:,"]);
    expect(elements.filter((each) => attribute(each, "style") !== undefined)).toEqual([]);
    expect(page).not.toMatch(/url\(|@import/);
    expect(named("h1")).toHaveLength(1);
    expect(attribute(named("html")[0]!, "lang")).toBe("en");
    for (const svg of named("svg")) {
      if (attribute(svg, "aria-hidden") === "true") continue;
      expect(attribute(svg, "role")).toBe("img");
      expect(attribute(svg, "aria-label")).not.toBe("");
    }
    for (const table of named("table")) expect(table.childNodes.some(({ nodeName }) => nodeName === "caption")).toBe(true);
    for (const heading of named("th")) expect(attribute(heading, "scope")).toMatch(/^(row|col)$/);
    const ids = elements.map((each) => attribute(each, "id")).filter((id) => id !== undefined);
    expect(new Set(ids).size).toBe(ids.length);
    for (const each of elements) {
      const label = attribute(each, "aria-labelledby");
      if (label !== undefined) expect(ids).toContain(label);
    }
    expect(page).not.toMatch(/NaN|undefined|Infinity|\[object/);
  });

  test("names that are markup are text", () => {
    const { elements, text } = parsePage(renderReport(HOSTILE));
    const harmless = parsePage(
      renderReport({ ...HOSTILE, repositories: [], problems: [], failures: [], problemCount: 0, failureCount: 0 }),
    );
    const tags = (page: { readonly elements: readonly Element[] }) => new Set(page.elements.map(({ tagName }) => tagName));
    for (const tag of ["img", "b", "script"]) expect(tags({ elements }).has(tag)).toBe(false);
    expect(tags(harmless).has("script")).toBe(false);
    for (const name of MARKUP.filter((each) => !each.includes("\u001b"))) expect(text).toContain(name);
    expect(text).toContain("a\\x1b[31mred");
  });

  test("its numbers are the report's", () => {
    const { elements, text } = parsePage(renderReport(LARGE));
    for (const told of ["512.6 GiB", "801.1 GiB", "48,120", "1,204", "311", "9,868", "11 min 5 s", "10,214", "16,784 calls"]) {
      expect(text).toContain(told);
    }
    const label = elements.map((each) => attribute(each, "aria-label")).find((each) => each?.includes("blobs in use"));
    const numbers = [...(label ?? "").matchAll(/: ([\d,]+) \(/g)].map(([, n]) => Number(n!.replaceAll(",", "")));
    const { marked, kept, eligible } = LARGE;
    expect(numbers.reduce((sum, n) => sum + n, 0)).toBe(marked.blobs + kept.young + kept.protected + eligible.blobs);
  });

  test("all repositories are there, and long lists are folded", () => {
    const { elements, text } = parsePage(renderReport(MANY));
    for (const { name } of LARGE.repositories) expect(text).toContain(name);
    const folds = elements.filter(({ tagName }) => tagName === "details");
    expect(folds).toHaveLength(4);
    expect(folds.filter((fold) => attribute(fold, "open") !== undefined)).toEqual([]);
    for (const path of ["/p/0", "/p/999", "/f/999"]) expect(text).toContain(path);
    expect(text).toContain("The report lists the first 1,000 of 12,345.");
    expect(parsePage(renderReport(FAILED)).elements.filter((each) => attribute(each, "open") !== undefined)).toHaveLength(1);
  });

  test("the phases follow each other over the whole width", () => {
    const { elements } = parsePage(renderReport(LARGE));
    const timeline = elements.find((each) => attribute(each, "class") === "timeline")!;
    expect(attribute(timeline, "aria-label")).toMatch(/^A timeline of 11 min 5 s\. inventory: 1 min 4 s, mark: .* other: 5\.0 s$/);
    const bars = elements.filter(({ tagName, parentNode }) => tagName === "rect" && parentNode === timeline);
    const [xs, widths] = ["x", "width"].map((name) => bars.map((bar) => Number.parseFloat(attribute(bar, name) ?? "")));
    for (const [i, x] of xs!.entries()) if (i > 0) expect(x).toBeCloseTo(xs![i - 1]! + widths![i - 1]!, 1);
    expect(xs!.at(-1)! + widths!.at(-1)!).toBeCloseTo(100, 1);
  });
});

describe("what is no report", () => {
  const wrong: readonly (readonly [unknown, string])[] = [
    [undefined, "it is missing; expected an object"],
    [null, "it is null; expected an object"],
    ["text", 'it is "text"; expected an object'],
    [[], "it is a list; expected an object"],
    [{ blobs: 1, links: 2 }, "schemaVersion is missing; expected 1"],
    [{ ...SMALL, schemaVersion: 2 }, "schemaVersion is 2; expected 1, the only one that this version of oci-registry-gc can show"],
    [{ ...SMALL, runId: 7 }, "runId is 7; expected a string"],
    [{ ...SMALL, dryRun: "no" }, 'dryRun is "no"; expected true or false'],
    [{ ...SMALL, eligible: { ...NOTHING, bytes: Number.NaN } }, "eligible.bytes is NaN; expected a number, 0 or more"],
    [{ ...SMALL, durationsMs: { ...SMALL.durationsMs, drain: "1" } }, 'durationsMs.drain is "1"; expected a number, 0 or more'],
    [{ ...SMALL, reasons: { untagged: 3 } }, "reasons.untagged is 3; expected an object"],
    [{ ...SMALL, problems: {} }, "problems is an object; expected a list"],
    [{ ...SMALL, failures: [{ path: "/a", code: "X" }] }, "failures[0].message is missing; expected a string"],
    [{ ...SMALL, repositories: [{ name: "a", manifests: -1 }] }, "repositories[0].manifests is -1; expected a number, 0 or more"],
    [{ ...SMALL, storageCalls: { list: () => 1 } }, "storageCalls.list is a function; expected a number, 0 or more"],
  ];
  test.each(wrong)("%#: is refused by name", (value, message) => {
    for (const show of [formatReport, renderReport]) {
      const attempt = () => show(value as GcReport);
      expect(attempt).toThrow(TypeError);
      expect(attempt).toThrow(`this is no report of a run: ${message}`);
    }
  });
});

test("a run's own report is shown, and the same after JSON", async () => {
  const driver = new MemoryDriver();
  const report = await markAndSweep({}, driver, openRegistry(driver), { dryRun: true, allowEmptyMark: true });
  const again = JSON.parse(JSON.stringify(report)) as GcReport;
  expect(formatReport(again)).toBe(formatReport(report));
  expect(renderReport(again)).toBe(renderReport(report));
});

test("what the driver has to say of its store is told, in both forms", () => {
  const report = { ...EMPTY, remarks: ["bucket <b> keeps versions"] };
  expect(formatReport(report)).toContain("Bucket <b> keeps versions.");
  expect(renderReport(report)).toContain("Bucket &lt;b&gt; keeps versions.");
  expect(() => formatReport({ ...EMPTY, remarks: [1] } as never)).toThrow(/remarks\[0\]/);
});
