/**
 * A run in parts that deletes later: puts aside, drains, looks, puts back, settles, and purges what has been aside for long. The rules are
 * those of `online/`, and so are the functions that change something.
 */

import { DigestSet } from "../digestSet.js";
import { refuseDamage, refuseEmptyLook, refuseUnknowable } from "../guards.js";
import type { AsideStore } from "../online/asideStore.js";
import { brokenPurges, closeJournals, endBrokenPurges } from "../online/closeJournals.js";
import type { Journal, JournalBlob, JournalLink, JournalRecord } from "../online/journal.js";
import { isSeen, mayBeHalfMoved, purgeable } from "../online/purgeAside.js";
import { drain } from "../online/quarantine.js";
import { reportDamaged } from "../online/session.js";
import type { Lead } from "./lead.js";
import { type Look, lookInParts, type PartedPlan, putBackInParts, sum } from "./looks.js";
import { asideStore, doomedOf } from "./partRun.js";
import type { PurgeLeft } from "./purge.js";

/** Goes on with runs that ended before they had settled; answers with what lies aside then. */
export async function goOnInterrupted(lead: Lead, aside: string | undefined): Promise<string | undefined> {
  const { run } = lead;
  if (aside === undefined) return aside;
  const store = await openJournals(lead, aside);
  reportDamaged(run, store);
  if (run.settings.dryRun) return aside;
  const holds = ({ kind }: JournalBlob | JournalLink) => kind === "manifest" || kind === "signature";
  for (const { runId } of brokenPurges(run, store)) store.add(await store.readJournal(runId, run.settlingDriver, { ...run.look, holds }));
  await endBrokenPurges(run, store);
  // Kept as they were first seen: whoever tells the run again finds them settled, and has to go through the same.
  const runIds = await lead.once("again.runs", async () =>
    [...store.journals.values()].filter((journal) => journal.isInterrupted).map(({ runId }) => runId),
  );
  const interrupted = runIds.map((runId) => store.journals.get(runId)).filter((journal) => journal !== undefined);
  if (interrupted.length === 0) return aside;
  run.log.info(`going on with ${interrupted.length} interrupted runs: ${runIds.join(", ")}`);
  if (!run.settings.readOnly) await drainOnce(lead, "again");
  const { after } = await lookAndPutBack(lead, "again", aside);
  await lead.once("again.settled", async () => {
    for (const journal of interrupted) {
      await run.mayChange();
      await journal.write([{ kind: "settled", at: run.storageNow() }]);
    }
    return true;
  });
  return after;
}

/** Puts the plan aside, then settles and purges. */
export async function quarantine(lead: Lead, plan: PartedPlan): Promise<void> {
  const { shards } = lead.plan;
  if (plan.isSomething) {
    const { look, plans } = plan;
    const { groups, join, sharesDirectories } = look;
    const input = { plans, join, sharesDirectories };
    await lead.stage("aside.records", "records", groups.length, input);
    await lead.once("aside.journal", () => writeJournal(lead, look));
    const { eligible } = lead.run.ledger;
    lead.moves = look.join;
    await lead.stage("aside.blobs", "aside", eligible.blobs > 0 ? shards : 0, { shards });
    await lead.stage("aside.links", "asideLinks", eligible.layerLinks > 0 ? groups.length : 0, { plans });
    await lead.stage("aside.uploads", "sweep", eligible.uploads > 0 ? groups.length : 0, {
      ...input,
      planned: join,
      shards,
      chapter: "rest",
    });
  }
  // Listed before the drain: what is moved by somebody who sleeps now is another run's to purge.
  await settleAndPurge(lead, { aside: await lead.listAside("aside.listing"), drains: plan.isSomething });
}

/** The journal of the whole run, by who leads it, before anything is moved. Written again, it is the same. */
async function writeJournal({ run, store, plan }: Lead, look: Look): Promise<boolean> {
  const journal = asideStore(run).newJournal(plan.runId, run.settlingDriver, () => false);
  const manifests = new DigestSet();
  const outputs = await store.outputs("aside.records");
  const records = async function* (): AsyncIterable<JournalRecord> {
    for (const { lists } of outputs) {
      for await (const item of store.items(lists["records"] ?? [])) yield item as JournalLink;
    }
  };
  for await (const record of records()) if (record.kind === "manifest") manifests.add(record.digest);

  await run.mayChange();
  const all = async function* (): AsyncIterable<JournalRecord> {
    yield { kind: "begun", at: run.storageNow() };
    yield* blobRecords(run, store, plan.shards, look.join, manifests);
    yield* records();
  };
  await journal.writeAll(all());
  return true;
}

async function* blobRecords(
  run: Lead["run"],
  store: Lead["store"],
  shards: number,
  join: string,
  manifests: DigestSet,
): AsyncIterable<JournalBlob> {
  for (let shard = 0; shard < shards; shard++) {
    for await (const batch of doomedOf(run, store, join, shard)) {
      for (const { digest, size } of batch) yield { kind: "blob", digest, size: size || 0, isManifest: manifests.has(digest) };
    }
  }
}

/** Drains, looks, puts back, settles; then purges what has been aside for long. */
export async function settleAndPurge(
  lead: Lead,
  { aside, drains }: { readonly aside: string | undefined; readonly drains: boolean },
): Promise<void> {
  const { run } = lead;
  if (aside === undefined) return;
  const journals = await openJournals(lead, aside);
  const own = journals.journals.get(run.ledger.runId);
  const mayPurge = purgeable(run, journals).length > 0 || (own !== undefined && run.settings.quarantineMs === 0);
  if (drains || mayPurge) {
    if (!run.settings.readOnly) await drainOnce(lead, "settle");
    const { look, after } = await lookAndPutBack(lead, "settle", aside);
    refuseDamage(run);
    if (own !== undefined) {
      await lead.once("settled", async () => {
        await run.mayChange();
        await own.write([{ kind: "settled", at: run.storageNow() }]);
        return true;
      });
    }
    await purge(lead, look, { aside, after });
  }
  // What was to go at once is gone.
  if (run.settings.quarantineMs === 0) lead.moves = undefined;
  const listing = await lead.listAside("end.aside");
  if (listing === undefined) return;
  const { busy } = await lead.asideOf("end.aside");
  lead.goOn();
  await closeJournals(run, await openJournals(lead, "end.aside"), new Set(busy));
}

/** Only copies that were listed before the drain, and that are there still. */
async function purge(lead: Lead, look: Look, { aside, after }: { readonly aside: string; readonly after: string }): Promise<void> {
  const { run, plan } = lead;
  const { shards } = plan;
  const names = new Set(look.groups.flat());
  for (const name of look.unseen) names.delete(name);
  const open = await openJournals(lead, aside);
  const runIds = await lead.once("purge.runs", async () => {
    const seen: string[] = [];
    const { busy } = await lead.asideOf(aside);
    for (const { runId } of purgeable(run, open)) {
      if (!busy.includes(runId)) continue;
      const isUnseen = (item: JournalBlob | JournalLink) => item.kind === "manifest" && !names.has(item.repository);
      if (await isSeen(run, await open.readJournal(runId, run.settlingDriver, { ...run.look, holds: isUnseen }), names)) seen.push(runId);
    }
    return seen;
  });
  if (runIds.length === 0) return;
  const journals = runIds.map((runId) => open.journals.get(runId)).filter((journal) => journal !== undefined);
  await say(lead, "purging", journals);
  const input = { shards, aside, looks: look.looks, join: look.join, runIds };
  const stuck = await lead.stage("purge.unlink", "unlink", look.groups.length, input);
  // Said twice, it says that a link may be removed yet: by a worker who was given up, and sleeps.
  if (await lead.store.isDoubled("purge.unlink", look.groups.length)) await say(lead, "purging", journals, "purge.doubled");
  await say(lead, "unlinked", journals);
  let join = look.join;
  if (sum(stuck, ({ marks }) => marks) > 0) {
    join = "purge.join";
    const { questions } = look;
    await lead.stage(join, "join", shards, { states: [look.join], marks: ["purge.unlink"], questions, aside, candidates: "none" });
  }
  const left = await lead.stage("purge.data", "purge", shards, { shards, aside, after, join, runIds });
  const isLeft = (kind: keyof PurgeLeft, { runId }: Journal) => left.some((part) => part[kind].includes(runId));
  const isDone = (journal: Journal) => isLeft("needed", journal) && !isLeft("dying", journal) && !mayBeHalfMoved(run, journal);
  await say(lead, "purged", journals.filter(isDone));
}

async function say(
  lead: Lead,
  kind: "purging" | "unlinked" | "purged",
  journals: readonly Journal[],
  name = `purge.${kind}`,
): Promise<void> {
  const { run } = lead;
  await lead.once(name, async () => {
    for (const journal of journals) {
      await run.mayChange();
      await journal.write([{ kind, at: run.storageNow() }]);
    }
    return true;
  });
}

/** Looks with fresh marks, and puts back what is needed, then refuses what can't be known; `after` is a listing of what lies aside then. */
async function lookAndPutBack(lead: Lead, name: string, aside: string): Promise<{ look: Look; after: string }> {
  const look = await lookInParts(lead, { name, aside, earlier: undefined, states: [], candidates: "none" });
  refuseEmptyLook(lead.run, look.counts.repositories, (await lead.asideOf(aside)).busy.length > 0);
  const after = (await putBackInParts(lead, look)) ?? aside;
  // Not before: what is known to be needed goes back all the same.
  refuseUnknowable(lead.run);
  return { look, after };
}

async function drainOnce(lead: Lead, name: string): Promise<void> {
  await lead.once(`${name}.drained`, async () => {
    await drain(lead.run);
    return true;
  });
}

/** The journals of what lies aside, without their items. */
async function openJournals(lead: Lead, aside: string): Promise<AsideStore> {
  const { run } = lead;
  const open = asideStore(run);
  const { journals, notes, others, busy, temporaries, emptied } = await lead.asideOf(aside);
  for (const runId of journals) open.runs.add(runId);
  for (const { path, digests, time } of notes) open.notes.push({ path, digests, time: time ?? Number.NaN });
  for (const runId of others) open.partsOf.add(runId);
  for (const runId of busy) open.busy.add(runId);
  open.temporaries.push(...temporaries);
  open.emptied = emptied;
  await open.readJournals({ ...run.look, journalDriver: run.settlingDriver, holds: () => false });
  return open;
}
