/**
 * A real registry that is collected while clients push as fast as they can: everything that it acknowledged, and that nobody deleted
 * or pushed over since, can be pulled. `TORTURE_SECONDS` says for how long; `npm run torture` takes two minutes each.
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { image, layer } from "./support/content.js";
import { RegistryClient } from "./support/registryClient.js";
import { storageOf, whileServing } from "./support/registryServer.js";
import { describeInterop } from "./support/tools.js";
import { missingFrom } from "./torture/missing.js";
import { Torture } from "./torture/torture.js";

const SECONDS = Number(process.env["TORTURE_SECONDS"] ?? 15);
const LIMITS = { timeout: (SECONDS + 120) * 1000 };
const HOUR_MS = 3_600_000;
/** On a registry in earnest each is a thousand times as long. */
const COLLECTING = { removeUntagged: true, gracePeriodMs: 400, drainMs: 2000, quarantineMs: 1000, maxDeleteRatio: 1 };
/** For a run that is shorter than that. */
const LONG_GRACE_MS = 6000;
const SOME: unknown = expect.toSatisfy((count: number) => count > 0);

describeInterop("collected while clients push", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "oci-registry-gc-torture-"));
    await mkdir(storageOf(folder));
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });

  test("a registry without a descriptor cache serves everything that it acknowledged", LIMITS, async () => {
    const torture = new Torture(folder, COLLECTING);
    await whileServing(folder, async ({ host }) => {
      await torture.run(host, SECONDS);
      console.log(`without a descriptor cache, ${SECONDS} s: ${torture.line}`);
      // What was accepted during the last run may miss something until the next look.
      await torture.once();
      expect(torture.tally.missing, torture.details).toEqual([]);
      expect(await missingFrom(host, torture.tags), torture.details).toEqual([]);

      // By then all that lies aside is old, and goes while it is pushed again.
      await sleep(LONG_GRACE_MS);
      const young = await torture.runOnUntagged(host, LONG_GRACE_MS);
      expect(await missingFrom(host, young), torture.details).toEqual([]);

      // Now all that is garbage goes aside, and then for good.
      for (let i = 0; i < 2; i++) {
        await sleep(COLLECTING.quarantineMs);
        await torture.once();
      }
      expect(await missingFrom(host, torture.tags), torture.details).toEqual([]);
    });
    expectWork(torture);
    expect(torture.collector.counts.purged).toBeGreaterThan(0);
  });

  test("one with a descriptor cache does once it was restarted, before anything is purged", LIMITS, async () => {
    // The registry takes its settings from its environment as well.
    vi.stubEnv("REGISTRY_STORAGE_CACHE_BLOBDESCRIPTOR", "inmemory");
    const torture = new Torture(folder, { ...COLLECTING, quarantineMs: HOUR_MS });
    const forgotten = layer("layer of an image without a tag");
    await whileServing(folder, async ({ host }) => {
      const client = new RegistryClient(host);
      await client.push("forgotten", image("image without a tag", [forgotten]));
      await torture.run(host, SECONDS);
      console.log(`with a descriptor cache, ${SECONDS} s: ${torture.line}`);
      expect(torture.tally.missing, torture.details).toEqual([]);
      expect(await client.has("forgotten", "blobs", forgotten.digest), "the registry remembers what is not there").toBe(true);
    });
    await whileServing(folder, async ({ host }) => {
      expect(await new RegistryClient(host).has("forgotten", "blobs", forgotten.digest)).toBe(false);
      await torture.once();
      expect(await missingFrom(host, torture.tags), torture.details).toEqual([]);

      // Nothing was purged, so even what is garbage can be had again.
      await torture.healAll();
      expect(await missingFrom(host, torture.digests), torture.details).toEqual([]);

      // Everything that lies aside goes for good, and what nothing keeps goes with it.
      await torture.once({ quarantineMs: 0 });
      expect(await missingFrom(host, torture.tags), torture.details).toEqual([]);
    });
    expectWork(torture);
    expect(torture.collector.counts).toMatchObject({ purged: 0, returned: SOME });
  });
});

/** Where clients and collector had nothing to do, nothing was tried. */
function expectWork({ tally, collector }: Torture): void {
  expect(tally).toMatchObject({ pushes: SOME, bySkopeo: SOME, mounted: SOME, deletes: SOME, pulls: SOME });
  expect(collector.counts).toMatchObject({ runs: SOME, aside: SOME });
}
