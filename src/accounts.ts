/** The plan's numbers, told to the report, to the caller and to the log. */

import { isoTime } from "./clock.js";
import { NumberSet } from "./internal/numberMap.js";
import { turn } from "./internal/turn.js";
import { untilAborted } from "./internal/untilAborted.js";
import type { RegistryLook } from "./look.js";
import { DOOMED } from "./marks.js";
import type { ItemKind } from "./options.js";
import { type Plan, tally } from "./plan.js";
import { noCounts, type RepositoryCounts } from "./report.js";
import type { Run } from "./run.js";
import { doomedLayerLinks, itemsOf, REASON } from "./sweepItems.js";

/** Writes the plan's numbers into the report, and answers with how many blobs there are. */
export async function account(run: Run, { repositories, tags, revisions, looks }: RegistryLook, plan: Plan): Promise<number> {
  const { ledger } = run;
  const { present, live, young, protected: spared } = await tally(run);
  ledger.kept = { young, protected: spared };
  const doomed = looks.reduce((sum, look) => sum + look.doomed.size, 0);
  ledger.marked = { repositories, tags, manifests: revisions - doomed, blobs: live };
  ledger.eligible = noCounts();
  ledger.reasons = {};
  await countPlan(run, plan);
  return present;
}

/** Counts what {@link itemsOf} would tell, without a path for each: most of a dry run's time would go there. */
export async function countPlan(run: Run, { repositories, blobs }: Plan): Promise<void> {
  const { ledger } = run;
  let layerLinks = 0;
  const counts: RepositoryCounts[] = [];
  for (const each of repositories) {
    await run.turns.each(doomedLayerLinks(run, each), () => {
      layerLinks++;
    });
    counts.push(await countRepository(run, each));
  }
  let bytes = 0;
  await run.turns.each(blobs, (number) => {
    bytes += run.sizes.get(number) || 0;
  });
  const add = (kind: ItemKind, count: number, bytesOfAll = 0) => ledger.addEligible(kind, REASON[kind], count, bytesOfAll);
  add(
    "tagIndexEntry",
    sum(repositories, ({ tagIndexEntries }) => tagIndexEntries.length),
  );
  add(
    "manifest",
    sum(repositories, ({ manifests }) => manifests.length),
  );
  add("layerLink", layerLinks);
  add("blob", blobs.length, bytes);
  add(
    "upload",
    sum(repositories, ({ uploads }) => uploads.length),
  );
  add("repository", repositories.filter(({ isEmptied }) => isEmptied).length);
  ledger.rank(counts);
}

function sum(repositories: Plan["repositories"], number: (repository: Plan["repositories"][number]) => number): number {
  return repositories.reduce((total, repository) => total + number(repository), 0);
}

async function countRepository(
  run: Run,
  { look, manifests, layerLinks, tagIndexEntries }: Plan["repositories"][number],
): Promise<RepositoryCounts> {
  const blobs = new NumberSet();
  let bytes = 0;
  const take = (number: number) => {
    if (blobs.add(number) && run.marks.has(number, DOOMED)) bytes += run.sizes.get(number) || 0;
  };
  await run.turns.each(manifests, take);
  await run.turns.each(look.loose.values(), ({ blob }) => take(blob));
  return {
    name: look.repository.name,
    manifests: manifests.length,
    layerLinks: layerLinks.length,
    tagIndexEntries: tagIndexEntries.length,
    bytes,
  };
}

/** Tells the plan: every item to the caller, the sum to the log, and what stays because it is young. */
export async function announce(run: Run, plan: Plan): Promise<void> {
  sayPlan(run);
  await tellItems(run, plan);
}

/** Tells the log what the plan comes to. */
export function sayPlan(run: Run): void {
  const { ledger, log, settings } = run;
  const { eligible, kept, marked } = ledger;
  log.info(`${marked.blobs} blobs are kept, ${eligible.blobs} are eligible for deletion (${eligible.bytes} bytes)`, {
    blobs_marked: marked.blobs,
    blobs_to_delete: eligible.blobs,
    manifests_to_delete: eligible.manifests,
    storage_use_estimate_bytes: eligible.bytes,
  });
  if (kept.young > eligible.blobs) {
    const hours = settings.gracePeriodMs / 3_600_000;
    const mayBeTaken = (run.aside?.journals.size ?? 0) > 0;
    const eligibleAfter = isoTime(run.clock.now() + settings.gracePeriodMs);
    const [pushed, purged] = mayBeTaken ? [", or were pushed again since a run took them", ", or that run is purged"] : ["", ""];
    log.info(
      `${kept.young} blobs that nothing needs stay because they are young${pushed}: they go once they are older than gracePeriodMs (${hours} hours)${purged}: with runs after ${eligibleAfter}; where nothing writes to the registry, readOnly: true collects them now`,
      {
        young: kept.young,
        grace_period_ms: settings.gracePeriodMs,
        eligible_after: eligibleAfter,
      },
    );
  }
  if (run.quarantines && !settings.dryRun && eligible.blobs > 0) sayQuarantine(run);
  if (settings.removeEmptyRepositories && !settings.readOnly) {
    run.notices.warn(
      "removeEmptyRepositories is left undone: repositories are removed in readOnly runs only, since a push may be writing to one",
    );
  }
}

/** Tells every item of the plan to the caller, and to the log. */
export async function tellItems(run: Run, plan: Plan): Promise<void> {
  const { log, settings } = run;
  if (settings.onItem === undefined && !run.isLogged) return;
  for (const { planned } of itemsOf(run, plan)) {
    // A hook that doesn't wait must not hold up the caller's event loop for the whole plan.
    if (run.turns.isLong()) await turn();
    log.debug(`${planned.kind} eligible for deletion: ${planned.path}`, { reason: planned.reason });
    if (settings.onItem !== undefined) await untilAborted((async () => settings.onItem?.(planned))(), run.signal);
  }
}

/** A run that puts things aside frees nothing yet: that must not be a riddle. The quarantine counts from the end of the drain. */
function sayQuarantine(run: Run): void {
  const { drainMs, quarantineMs } = run.settings;
  const at = isoTime(run.storageNow() + drainMs + quarantineMs);
  const fields = { purgeable_at: at, quarantine_ms: quarantineMs, drain_ms: drainMs };
  if (quarantineMs === 0) {
    run.log.info(`garbage goes aside, and this run purges it after its drain, from ${at} on (drainMs; quarantineMs is 0)`, fields);
    return;
  }
  run.log.info(
    `garbage goes aside, and nothing is freed before it is purged: by a run after ${at} (drainMs and quarantineMs), or by purge(), which takes a shorter quarantineMs. A registry with a descriptor cache must be restarted, or its cache emptied, between this run and the purge`,
    fields,
  );
}
