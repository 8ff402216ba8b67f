/** Reports to show: one of each kind of run, with whatever a test wants otherwise. */

import type { GcReport, SweepCounts } from "oci-registry-gc";

export const NOTHING: SweepCounts = { manifests: 0, blobs: 0, bytes: 0, layerLinks: 0, tagIndexEntries: 0, uploads: 0, repositories: 0 };
const NONE = { manifests: 0, blobs: 0, bytes: 0 };

const MiB = 2 ** 20;
const GiB = 2 ** 30;

/** A run that found nothing at all. */
export const EMPTY: GcReport = {
  schemaVersion: 1,
  runId: "6a1f0f4e-6f0b-4f27-9d1c-2f6f3f0a7c11",
  status: "completed",
  dryRun: false,
  driver: "filesystem",
  safety: "quiesced",
  startedAt: "2026-03-01T04:00:00.000Z",
  finishedAt: "2026-03-01T04:00:00.000Z",
  durationsMs: { inventory: 0, mark: 0, sweep: 0, total: 0 },
  marked: { repositories: 0, tags: 0, manifests: 0, blobs: 0 },
  eligible: NOTHING,
  deleted: NOTHING,
  kept: { young: 0, protected: 0 },
  quarantined: NONE,
  restored: NONE,
  returned: NONE,
  purged: NOTHING,
  unrecognized: 0,
  reasons: {},
  repositories: [],
  problems: [],
  problemCount: 0,
  failures: [],
  failureCount: 0,
  storageCalls: {},
};

const GONE: SweepCounts = { manifests: 2, blobs: 7, bytes: 3 * MiB, layerLinks: 5, tagIndexEntries: 1, uploads: 0, repositories: 0 };

/** A small run on a registry that stands still. */
export const SMALL: GcReport = {
  ...EMPTY,
  finishedAt: "2026-03-01T04:00:01.500Z",
  durationsMs: { inventory: 300, mark: 900, sweep: 200, total: 1500 },
  marked: { repositories: 3, tags: 4, manifests: 6, blobs: 17 },
  eligible: GONE,
  deleted: GONE,
  reasons: {
    untagged: { count: 2, bytes: 0 },
    unreachable: { count: 7, bytes: 3 * MiB },
    "layer-not-reached": { count: 5, bytes: 0 },
    "index-entry-of-removed-manifest": { count: 1, bytes: 0 },
  },
  repositories: [
    { name: "tools/ci", manifests: 1, layerLinks: 3, tagIndexEntries: 0, bytes: 2 * MiB },
    { name: "shop/web", manifests: 1, layerLinks: 2, tagIndexEntries: 1, bytes: MiB },
    { name: "shop/db", manifests: 0, layerLinks: 0, tagIndexEntries: 0, bytes: 0 },
  ],
  storageCalls: { list: 40, getContent: 12, deleteFiles: 3 },
};

const SERVING: SweepCounts = {
  manifests: 412,
  blobs: 6_204,
  bytes: 812.4 * GiB,
  layerLinks: 9_870,
  tagIndexEntries: 388,
  uploads: 31,
  repositories: 0,
};

/** A run of everything, on a registry that serves: much of each, damage, failures, a hundred repositories. */
export const LARGE: GcReport = {
  ...EMPTY,
  status: "completed-with-failures",
  driver: "s3",
  safety: "quarantine",
  finishedAt: "2026-03-01T04:11:05.000Z",
  durationsMs: { inventory: 64_000, mark: 221_000, sweep: 98_000, look: 131_000, drain: 120_000, purge: 26_000, total: 665_000 },
  marked: { repositories: 214, tags: 3_120, manifests: 9_402, blobs: 48_120 },
  eligible: SERVING,
  deleted: { ...NOTHING, layerLinks: 9_868, uploads: 31 },
  kept: { young: 1_204, protected: 311 },
  quarantined: { manifests: 405, blobs: 6_150, bytes: 801.1 * GiB },
  restored: { manifests: 6, blobs: 52, bytes: 11.2 * GiB },
  returned: { manifests: 1, blobs: 9, bytes: 1.4 * GiB },
  purged: { manifests: 300, blobs: 4_100, bytes: 512.6 * GiB, layerLinks: 12, tagIndexEntries: 290, uploads: 0, repositories: 0 },
  unrecognized: 3,
  reasons: {
    unreachable: { count: 6_204, bytes: 812.4 * GiB },
    untagged: { count: 412, bytes: 0 },
    "layer-not-reached": { count: 9_870, bytes: 0 },
    "index-entry-of-removed-manifest": { count: 388, bytes: 0 },
    "upload-expired": { count: 31, bytes: 0 },
  },
  repositories: Array.from({ length: 100 }, (_, i) => ({
    name: ["platform/build/runner", "shop/web", "data/pipeline/etl-worker", "mobile/api", "ml/training"][i] ?? `team-${i % 9}/service-${i}`,
    manifests: Math.ceil(60 / (i + 1)),
    layerLinks: Math.ceil(1_900 / (i + 1)),
    tagIndexEntries: Math.ceil(50 / (i + 1)),
    bytes: Math.round((240 * GiB) / (i + 1) ** 1.2),
  })),
  problems: [
    ...Array.from({ length: 9 }, (_, i) => ({
      kind: "empty-link",
      path: `/docker/registry/v2/repositories/mobile/api/_manifests/tags/nightly-${i}/current/link`,
      repository: "mobile/api",
      message: "the link is empty",
    })),
    {
      kind: "digest-mismatch",
      path: "/docker/registry/v2/blobs/sha256/9f/9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08/data",
      message: "the manifest's bytes are sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
    },
    { kind: "hook-failed", path: "/docker/registry/v2/blobs/sha256/aa", message: "onDeleted threw: connect ECONNREFUSED 10.0.0.7:6379" },
  ],
  problemCount: 11,
  failures: [
    {
      path: "/docker/registry/v2/blobs/sha256/0b/0b8c7f6e5d4c3b2a19080706050403020100ffeeddccbbaa9988776655443322/data",
      code: "DRIVER_ERROR",
      message: "AccessDenied: the object is under a legal hold",
    },
    { path: "/docker/registry/v2/blobs/sha256/1c/1c9d/data", code: "DRIVER_ERROR", message: "SlowDown: reduce your request rate" },
  ],
  failureCount: 2,
  storageCalls: { walk: 61, getContent: 10_214, deleteFiles: 12, move: 6_202, putContent: 22, stat: 57, list: 215, delete: 1 },
};

/** A run that was refused for its ratio. */
export const REFUSED: GcReport = {
  ...SMALL,
  status: "refused",
  deleted: NOTHING,
  durationsMs: { inventory: 300, mark: 900, sweep: 0, total: 1250 },
};

/** What would go from a registry that serves. */
export const DRY: GcReport = { ...LARGE, ...planOnly(), dryRun: true, status: "completed" };

function planOnly(): Partial<GcReport> {
  return {
    deleted: NOTHING,
    quarantined: NONE,
    restored: NONE,
    returned: NONE,
    purged: NOTHING,
    failures: [],
    failureCount: 0,
    problems: [],
    problemCount: 0,
    kept: { young: 1_204, protected: 0 },
    durationsMs: { inventory: 64_000, mark: 221_000, sweep: 0, total: 287_000 },
  };
}

export const MARKUP = [
  "<script>document.title = 'broken out'</script>",
  '"onload="document.title=1',
  "</style></title></svg><img src=x onerror=alert(1)>",
  "' onmouseover='alert(1)",
  "a\u001b[31mred\u0007\u009b2J\r\n\u202egnp.exe\ud800 & &amp; ${1} `",
  "https://example.org/<b>",
];

/** Every text of the report is one that wants to be more than text. */
export const HOSTILE: GcReport = {
  ...LARGE,
  runId: MARKUP.join(""),
  driver: MARKUP.join(""),
  startedAt: MARKUP.join(""),
  status: MARKUP.join("") as GcReport["status"],
  safety: MARKUP.join("") as GcReport["safety"],
  durationsMs: { ...LARGE.durationsMs, ...Object.fromEntries(MARKUP.map((name) => [name, 1000])) },
  reasons: Object.fromEntries(MARKUP.map((reason) => [reason, { count: 1, bytes: 10 }])),
  repositories: MARKUP.map((name) => ({ name, manifests: 1, layerLinks: 1, tagIndexEntries: 1, bytes: 10 })),
  problems: MARKUP.map((text) => ({ kind: text, path: text, repository: text, digest: text, message: text })),
  failures: MARKUP.map((text) => ({ path: text, code: text, message: text })),
  remarks: MARKUP,
  storageCalls: Object.fromEntries(MARKUP.map((name) => [name, 5])),
};
