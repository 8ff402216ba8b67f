/**
 * The story of a run in parts: the same as that of `markAndSweep`, with each chapter made by many. Who leads it holds numbers and names
 * only: all else lies on the storage. So whoever goes on with it after a crash tells it again from the beginning, and what is closed is
 * skipped.
 */

import { sayPlan } from "../accounts.js";
import { refuseDamage, refuseEmptyMark, refuseRatio, refuseUnknowable } from "../guards.js";
import { addCounts, noCounts } from "../report.js";
import { goOnInterrupted, quarantine, settleAndPurge } from "./afterwards.js";
import type { Lead } from "./lead.js";
import { type Look, lookInParts, type PartedPlan, putBackInParts, sum } from "./looks.js";

export async function collectParts(lead: Lead): Promise<void> {
  const { run } = lead;
  const { shards } = lead.plan;
  const { dryRun, readOnly } = run.settings;
  run.signal.throwIfAborted();

  const listing = await lead.listAside("aside");
  if (listing !== undefined) run.ledger.unrecognized += (await lead.asideOf(listing)).unrecognized;
  let aside = await goOnInterrupted(lead, listing);
  // Every blob first, then what repositories keep: a blob that appears later is never a candidate.
  await lead.stage("inventory", "inventory", Math.min(shards, 256), { shards });
  const found = await lookInParts(lead, { name: "mark", aside, earlier: undefined, states: ["inventory"], candidates: "present" });
  // What is known to be needed goes back, whatever is refused then.
  aside = await putBackInParts(lead, found);
  refuseUnknowable(run);

  // What nothing keeps is to go, unless that is too much to be true.
  let plan = await makePlan(lead, found);
  refuseDamage(run);
  refuseEmptyMark(run, found.counts.repositories, found.sums.present);
  refuseRatio(run, found.sums.present);

  // While others write: look again, and let go of what appeared or changed since.
  if (!readOnly && !dryRun && plan.isSomething) {
    const again = await lookInParts(lead, { name: "look", aside, earlier: found, states: [found.join], candidates: "doomed" });
    refuseDamage(run);
    plan = await makePlan(lead, again);
  }
  sayPlan(run);
  await announce(lead, plan);
  if (dryRun) return;

  // Until here nothing was deleted. Now garbage is put aside, for a later run to delete; or, where nobody writes, deleted at once.
  if (run.quarantines) await quarantine(lead, plan);
  else {
    await sweep(lead, plan);
    await settleAndPurge(lead, { aside, drains: false });
  }
}

/** Plans what goes, and writes the plan's numbers into the report. */
async function makePlan(lead: Lead, look: Look): Promise<PartedPlan> {
  const { ledger } = lead.run;
  const plans = `${look.name}.plan`;
  const { aside, looks, join, sharesDirectories, sums, counts } = look;
  const planned = await lead.stage(plans, "plan", look.groups.length, { aside, looks, join, sharesDirectories });

  const { repositories, tags, revisions } = counts;
  ledger.marked = { repositories, tags, manifests: revisions - look.doomed, blobs: sums.live };
  ledger.kept = { young: sums.young, protected: sums.protected };
  ledger.eligible = noCounts();
  ledger.reasons = {};
  for (const { eligible, reasons } of planned) {
    addCounts(ledger.eligible, eligible);
    ledger.addReasons(reasons);
  }
  ledger.eligible.blobs = sums.blobs;
  ledger.eligible.bytes = sums.bytes;
  if (sums.blobs > 0) ledger.addReasons({ unreachable: { count: sums.blobs, bytes: sums.bytes } });
  ledger.rank(planned.flatMap((each) => each.repositories));
  return { look, plans, isSomething: sums.blobs > 0 || planned.some((each) => each.planned > 0) };
}

/** Tells every item, where somebody listens: before anything goes. */
async function announce(lead: Lead, { look, plans }: PartedPlan): Promise<void> {
  if (!lead.plan.needs.includes("onItem")) return;
  const { join, sharesDirectories, groups } = look;
  await lead.stage("announce.groups", "announce", groups.length, { plans, join, sharesDirectories, what: "group" });
  await lead.stage("announce.shards", "announce", lead.plan.shards, { plans, join, sharesDirectories, what: "shard" });
}

/** The sweep: each chapter everywhere before the next. */
async function sweep(lead: Lead, { look, plans, isSomething }: PartedPlan): Promise<void> {
  if (!isSomething) return;
  const { shards } = lead.plan;
  const { eligible } = lead.run.ledger;
  const { groups, sharesDirectories, questions, aside } = look;
  const input = { plans, planned: look.join, sharesDirectories, shards };
  const groupsFor = (items: number) => (items > 0 ? groups.length : 0);
  const stuck = "sweep.revisions";
  const swept = await lead.stage(stuck, "sweep", groupsFor(eligible.manifests + eligible.tagIndexEntries), {
    ...input,
    join: look.join,
    chapter: "revisions",
  });
  // What could not be removed keeps what it needs: everyone has to know.
  let join = look.join;
  if (sum(swept, ({ marks }) => marks) > 0) {
    join = "sweep.join";
    await lead.stage(join, "join", shards, { states: [look.join], marks: [stuck], questions, aside, candidates: "doomed" });
  }
  await lead.stage("sweep.layerLinks", "sweep", groupsFor(eligible.layerLinks), { ...input, join, stuck, chapter: "layerLinks" });
  await lead.stage("sweep.blobs", "sweep", eligible.blobs > 0 ? shards : 0, { ...input, join, chapter: "blobs" });
  await lead.stage("sweep.rest", "sweep", groupsFor(eligible.uploads + eligible.repositories), { ...input, join, chapter: "rest" });
}
