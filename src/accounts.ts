/** The plan's numbers, told to the report, to the caller and to the log. */

import type { RegistryLook } from "./look.js";
import { DOOMED } from "./marks.js";
import { type Plan, tally } from "./plan.js";
import { countItem, noCounts, type RepositoryCounts } from "./report.js";
import type { Run } from "./run.js";
import { itemsOf } from "./sweepItems.js";

/** Writes the plan's numbers into the report. */
export function account(run: Run, { repositories, tags, revisions, looks }: RegistryLook, plan: Plan): void {
  const { ledger } = run;
  const { live, young, protected: spared } = tally(run);
  ledger.kept = { young, protected: spared };
  const doomed = looks.reduce((sum, look) => sum + look.doomed.size, 0);
  ledger.marked = { repositories, tags, manifests: revisions - doomed, blobs: live };
  ledger.eligible = noCounts();
  ledger.reasons = {};
  for (const { planned } of itemsOf(run, plan)) {
    countItem(ledger.eligible, planned);
    ledger.addReason(planned.reason, planned.kind === "blob" ? (planned.bytes ?? 0) : 0);
  }
  ledger.rank(plan.repositories.map((each) => countRepository(run, each)));
}

function countRepository(run: Run, { look, manifests, layerLinks, tagIndexEntries }: Plan["repositories"][number]): RepositoryCounts {
  const blobs = new Set(manifests);
  for (const { blob } of look.loose.values()) blobs.add(blob);
  let bytes = 0;
  for (const number of blobs) if (run.marks.has(number, DOOMED)) bytes += run.sizes.get(number) || 0;
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
    log.info(
      `${kept.young} blobs that nothing needs stay because they are young: they go once they are older than gracePeriodMs (${hours} hours); where nothing writes to the registry, readOnly: true collects them now`,
      {
        young: kept.young,
        grace_period_ms: settings.gracePeriodMs,
        eligible_after: new Date(run.clock.now() + settings.gracePeriodMs).toISOString(),
      },
    );
  }
  if (run.quarantines && !settings.dryRun && eligible.blobs > 0) sayQuarantine(run);
  if (settings.removeEmptyRepositories && !settings.readOnly) {
    log.warn("removeEmptyRepositories is left undone: repositories are removed in readOnly runs only, since a push may be writing to one");
  }
  for (const { planned } of itemsOf(run, plan)) {
    log.debug(`${planned.kind} eligible for deletion: ${planned.path}`, { reason: planned.reason });
    await settings.onItem?.(planned);
  }
}

/** A run that puts things aside frees nothing yet: that must not be a riddle. */
function sayQuarantine(run: Run): void {
  const { quarantineMs } = run.settings;
  const at = new Date(run.storageNow() + quarantineMs).toISOString();
  run.log.info(
    `garbage goes aside, and nothing is freed before it is purged: by a run after ${at} (quarantineMs), or by purge(), which takes a shorter quarantineMs. A registry with a descriptor cache must be restarted, or its cache emptied, between this run and the purge`,
    { purgeable_at: at, quarantine_ms: quarantineMs },
  );
}
