/** Parts `plan` and `announce`: what is to go from the repositories of a group. A plan is data. */

import { countPlan, tellItems } from "../accounts.js";
import { DOOMED } from "../marks.js";
import type { TagIndexEntry } from "../namespace.js";
import { linkRecords } from "../online/moveAside.js";
import { type Plan, planRepository, type RepositoryPlan } from "../plan.js";
import type { RememberedLook } from "../rememberedLook.js";
import type { RepositoryCounts, SweepCounts } from "../report.js";
import { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import { adoptAnswers, adoptState, listed, type PartRun, piecesOf, recallGroupAside, rememberedLooks } from "./partRun.js";
import { rememberLook } from "./rememberLook.js";

/** A repository's plan, as plain JSON. */
interface RememberedPlan {
  readonly look: RememberedLook;
  readonly manifests: readonly string[];
  readonly layerLinks: readonly string[];
  readonly tagIndexEntries: readonly TagIndexEntry[];
  readonly isEmptied: boolean;
}

export interface PlanInput {
  readonly aside: string | undefined;
  readonly looks: string;
  readonly join: string;
  readonly sharesDirectories: boolean;
}

export interface PlanResult {
  /** All but blobs. */
  readonly eligible: SweepCounts;
  readonly reasons: Readonly<Record<string, { readonly count: number; readonly bytes: number }>>;
  /** Those that the most bytes go from. */
  readonly repositories: readonly RepositoryCounts[];
  /** Repositories from which something is to go. */
  readonly planned: number;
}

export async function planPart(part: PartRun, { aside, looks, join, sharesDirectories }: PlanInput): Promise<PlanResult> {
  const { run, attempt } = part;
  run.sharesDirectories = sharesDirectories;
  await recallGroupAside(part, aside, looks);
  await adoptAnswers(part, join);
  const repositories: RepositoryPlan[] = [];
  for await (const remembered of rememberedLooks(part, looks)) {
    const named = piecesOf(run).repository(remembered.name);
    // Where a listing tells it all at once, tags' indexes are in it.
    const repository = remembered.doomed.length === 0 ? named : await listed(run, named);
    if (repository === undefined) continue;
    const plan = await planRepository(run, RepositoryLook.recall(run, repository, remembered));
    if (plan === undefined) continue;
    repositories.push(plan);
    await attempt.addToList("plans", toRemembered(run, plan));
  }
  await countPlan(run, { blobs: [], repositories });
  const { ledger } = run;
  return { eligible: ledger.eligible, reasons: ledger.reasons, repositories: ledger.repositories, planned: repositories.length };
}

function toRemembered(run: Run, plan: RepositoryPlan): RememberedPlan {
  const { digests } = run;
  return {
    look: rememberLook(run, plan.look),
    manifests: plan.manifests.map((number) => digests.digest(number)),
    layerLinks: plan.layerLinks.map((number) => digests.digest(number)),
    tagIndexEntries: plan.tagIndexEntries,
    isEmptied: plan.isEmptied,
  };
}

/** The repositories of a group from which something is to go. */
export async function groupOf({ store, part }: PartRun, stage: string): Promise<Set<string>> {
  const output = (await store.outputs(stage))[part];
  const names = new Set<string>();
  for await (const item of store.items(output?.lists["plans"] ?? [])) names.add((item as RememberedPlan).look.name);
  return names;
}

/** Goes on with what was planned for a group. */
export async function recallPlans({ run, store, part }: PartRun, stage: string): Promise<RepositoryPlan[]> {
  const output = (await store.outputs(stage))[part];
  const plans: RepositoryPlan[] = [];
  for await (const item of store.items(output?.lists["plans"] ?? [])) {
    const { look: remembered, manifests, layerLinks, tagIndexEntries, isEmptied } = item as RememberedPlan;
    const look = RepositoryLook.recall(run, piecesOf(run).repository(remembered.name), remembered);
    plans.push({
      look,
      manifests: manifests.map((digest) => run.digests.add(digest)),
      layerLinks: layerLinks.map((digest) => run.digests.add(digest)),
      tagIndexEntries,
      uploads: look.expiredUploads,
      isEmptied,
    });
  }
  return plans;
}

export interface ActInput {
  readonly plans: string;
  /** What says what is kept. */
  readonly join: string;
  readonly sharesDirectories: boolean;
}

/** The plan of a group, with all that it depends on. */
export async function recallGroup(part: PartRun, { plans, join, sharesDirectories }: ActInput): Promise<Plan> {
  part.run.sharesDirectories = sharesDirectories;
  await adoptAnswers(part, join);
  return { blobs: [], repositories: await recallPlans(part, plans) };
}

/** The blobs of a shard that were planned to go. */
export async function recallShard(part: PartRun, join: string): Promise<Plan> {
  await adoptState(part, join, ({ flags }) => (flags & DOOMED) !== 0);
  return { blobs: [...part.run.digests.numbers()], repositories: [] };
}

/** Tells the caller and the log what is to go: of a group, or of a shard. */
export async function announcePart(part: PartRun, input: ActInput & { readonly what: "group" | "shard" }): Promise<void> {
  await tellItems(part.run, input.what === "group" ? await recallGroup(part, input) : await recallShard(part, input.join));
}

/** What the journal is to say of a group's links. */
export async function recordsPart(part: PartRun, input: ActInput): Promise<void> {
  const { run, attempt } = part;
  const { repositories } = await recallGroup(part, input);
  const records = await linkRecords(run, repositories, { has: (blob) => run.marks.has(blob, DOOMED) });
  for (const record of records) await attempt.addToList("records", record);
}
