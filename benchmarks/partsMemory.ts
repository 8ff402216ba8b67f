/**
 * What one worker holds, for a registry of 100 million blobs (`--blobs N` for another size): 64 shards, a tenth of the blobs manifests, ten
 * a repository. Registry and earlier parts are generated; what the measured part reads and writes are real files of the real size. A part
 * of each kind that goes through blobs or repositories is made in a process of its own, which tells its peak of resident memory.
 */

import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Namespace, Repository } from "oci-registry-gc";
import { openRegistry, VERSION } from "oci-registry-gc";
import { FilesystemDriver } from "oci-registry-gc/drivers/filesystem";
import { type PartJob, runPart } from "oci-registry-gc/parts";
import { LIVE } from "../src/marks.js";
import { ASKED } from "../src/parts/flags.js";
import { PartStore } from "../src/parts/partStore.js";
import { RunDocuments } from "../src/parts/runDocuments.js";

const SHARDS = 64;
const RUN_ID = "00000000-0000-4000-8000-000000000000";
const DIRECTORY = `/docker/registry/v2/_gc/${RUN_ID}/parts`;
const LOCK = "the benchmark's lock";
/** One blob in so many is garbage. */
const GARBAGE = 25;
const REVISIONS_A_GROUP = 20_000;
const LAYERS = 9;

/** The digest of a blob by its number: numbers that are alike in their lowest 16 bits lie in one shard. */
function digestOf(number: number): string {
  const hash = createHash("sha256").update(`blob ${number}`).digest("hex");
  return `sha256:${(number % 0x10000).toString(16).padStart(4, "0")}${hash.slice(4)}`;
}

/** The blobs whose first byte lies in a range. */
function* blobsBetween(blobs: number, from: number, to: number): Iterable<number> {
  for (let high = 0; high < blobs; high += 0x10000) {
    for (let low = from << 8; low < to << 8 && high + low < blobs; low++) yield high + low;
  }
}

/** A registry of which everything is made up when it is asked for. */
function madeUp(driver: FilesystemDriver, blobs: number): Namespace {
  const real = openRegistry(driver);
  const whole = {
    ...real,
    repositories: () => {
      throw new Error("only pieces are asked for");
    },
  };
  return {
    ...whole,
    lookAtBlob: async (digest) => ({ digest, size: 1000, modTime: new Date(0) }),
    pieces: {
      of: whole,
      surveyRoots: async () => [],
      async *survey() {},
      repository: (name) => repositoryOf(name, blobs),
      async *blobsBetween(from, to) {
        let page = [];
        for (const number of blobsBetween(blobs, from, to)) {
          page.push({ digest: digestOf(number) });
          if (page.length < 1000) continue;
          yield page;
          page = [];
        }
        yield page;
      },
    },
  };
}

/** Ten manifests, half of them tagged, each with layers from anywhere. */
function repositoryOf(name: string, blobs: number): Repository {
  const manifests = new Map<string, Buffer>();
  for (let i = 0; i < 10; i++) {
    const digests = Array.from({ length: LAYERS + 1 }, (_, layer) =>
      digestOf(createHash("sha256").update(`${name} ${i} ${layer}`).digest().readUInt32BE() % blobs),
    );
    const [config, ...layers] = digests.map((digest) => ({ mediaType: "application/octet-stream", digest, size: 1000 }));
    const bytes = Buffer.from(
      JSON.stringify({ schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config, layers }),
    );
    manifests.set(`sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes);
  }
  const all = [...manifests.keys()];
  return {
    name,
    async *revisions() {
      yield all.map((digest) => ({ digest, modTime: new Date(0) }));
    },
    async *tags() {
      yield all.filter((_, i) => i % 2 === 0).map((digest, i) => ({ name: `v${i}`, path: `/${name}/v${i}`, digest }));
    },
    async *layerLinks() {},
    readManifest: async (digest) => manifests.get(digest),
    revisionFootprint: (digest) => ({ files: [`/${name}/${digest.slice(7)}`] }),
    layerLinkFootprint: (digest) => ({ files: [`/${name}/${digest.slice(7)}`] }),
  };
}

export async function measureMemory(blobs: number): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), "oci-registry-gc-bench-"));
  const groups = Math.ceil(blobs / 10 / REVISIONS_A_GROUP);
  try {
    const driver = new FilesystemDriver({ root });
    await driver.putContent("/docker/registry/lockfiles/gc-in-progress", Buffer.from(LOCK));
    const options = { readOnly: true, removeUntagged: true };
    const plan = {
      version: VERSION,
      runId: RUN_ID,
      startedAt: Date.now(),
      storageOffset: 0,
      lock: LOCK,
      options,
      shards: SHARDS,
      needs: [],
    };
    const store = new PartStore(await new RunDocuments(driver, DIRECTORY, RUN_ID).begin(plan));
    console.log(`${blobs} blobs, ${SHARDS} shards, ${groups} groups of ${REVISIONS_A_GROUP} revisions`);

    const make = async (stage: string, kind: string, input: unknown, assignment?: unknown) => {
      if (assignment !== undefined) await store.assign(stage, 0, assignment);
      await store.open(stage, { kind, parts: SHARDS, input, openedAt: 0 });
      const job: PartJob = { runId: RUN_ID, version: VERSION, plan: store.documents.plan, stage, part: 0 };
      const { megabytes, ms } = await inProcess(root, blobs, job);
      console.log(`${kind}: ${megabytes} MiB at most, ${Math.round(ms)} ms`);
    };
    await make("inventory", "inventory", { shards: SHARDS });
    await store.close("inventory", 1);
    const names = Array.from({ length: REVISIONS_A_GROUP / 10 }, (_, i) => `team/app-${i}`);
    await make("first.mark", "mark", { shards: SHARDS, countsStrays: true }, names);
    await writeMarks(store, blobs, groups);
    await make("join", "join", { states: ["inventory"], marks: ["mark"], questions: "mark", candidates: "present" });
    await store.close("join", 1);
    await make("sweep", "sweep", {
      plans: "join",
      planned: "join",
      join: "join",
      sharesDirectories: false,
      chapter: "blobs",
      shards: SHARDS,
    });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** What the groups would have left for shard 0: their marks and questions. */
async function writeMarks(store: PartStore, blobs: number, groups: number): Promise<void> {
  const marked = new Map<number, number[]>();
  for (const number of blobsBetween(blobs, 0, 256 / SHARDS)) {
    const chance = createHash("sha256").update(`mark ${number}`).digest();
    const group = chance.readUInt32BE() % groups;
    for (const each of number % 3 === 0 ? [group, (group + 1) % groups] : [group]) {
      const list = marked.get(each) ?? [];
      marked.set(each, list);
      list.push(number);
    }
  }
  for (let group = 0; group < groups; group++) {
    const attempt = store.attempt("mark", group);
    for (const number of marked.get(group) ?? []) {
      const isGarbage = number % GARBAGE === 0;
      const entry = { digest: digestOf(number), flags: isGarbage ? ASKED : LIVE, size: Number.NaN, time: Number.NaN };
      attempt.run(isGarbage ? "questions" : "marks").add(0, entry);
    }
    // What a stage says of its sections is read by every part: it is as long as it would be.
    for (let shard = 1; shard < SHARDS; shard++) {
      for (const name of ["marks", "questions"])
        attempt.run(name).add(shard, { digest: digestOf(shard << 10), flags: 0, size: 0, time: 0 });
    }
    await attempt.finish({});
  }
  await store.close("mark", groups);
}

function inProcess(root: string, blobs: number, job: PartJob): Promise<{ megabytes: number; ms: number }> {
  const child = fork(fileURLToPath(import.meta.url), [root, String(blobs), JSON.stringify(job)], {
    execArgv: ["--import", "tsx"],
    env: { ...process.env, PART: "1" },
  });
  return new Promise((resolve, reject) => {
    child.once("message", (answer: { megabytes: number; ms: number; error?: string }) => {
      if (answer.error === undefined) resolve(answer);
      else reject(new Error(answer.error));
    });
    child.once("exit", (code) => reject(new Error(`a part ended with ${code}`)));
  });
}

if (process.env["PART"] === "1") {
  const [root = "", blobs = "", job = ""] = process.argv.slice(2);
  const driver = new FilesystemDriver({ root });
  const begun = performance.now();
  runPart({ driver, registry: madeUp(driver, Number(blobs)), ctx: {} }, JSON.parse(job) as PartJob).then(
    () => process.send?.({ megabytes: Math.round(process.resourceUsage().maxRSS / 1024), ms: performance.now() - begun }),
    (error: unknown) => process.send?.({ error: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
}
