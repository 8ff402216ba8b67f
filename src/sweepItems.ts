/** The items of a plan: each thing that is to go, why, and all the paths that go with it. */

import { PRESENT } from "./marks.js";
import type { Footprint } from "./namespace.js";
import type { ItemKind, PlannedItem, Reason } from "./options.js";
import type { Plan, RepositoryPlan } from "./plan.js";
import type { RepositoryLook } from "./repositoryLook.js";
import type { Run } from "./run.js";

export interface SweepItem {
  readonly planned: PlannedItem;
  readonly footprint: Footprint;
  readonly look?: RepositoryLook;
  /** The digest's number, where the item has one. */
  readonly number?: number;
  /** Goes before the thing that it is part of, and is not counted beside it. */
  readonly isPart?: true;
}

/** Why each kind of thing goes. */
export const REASON: Readonly<Record<ItemKind, Reason>> = {
  tagIndexEntry: "index-entry-of-removed-manifest",
  manifest: "untagged",
  layerLink: "layer-not-reached",
  blob: "unreachable",
  upload: "upload-expired",
  repository: "repository-empty",
};

/** Takes so many things of one kind out of the plan's numbers: the registry has just promised them, or what needs them. */
export function spareItems({ ledger }: Run, kind: ItemKind, count = 1, bytes = 0): void {
  ledger.addEligible(kind, REASON[kind], -count, -bytes || 0);
  if (kind === "blob") ledger.kept.young += count;
}

/** Every item of the plan, in the order of the sweep. */
export function* itemsOf(run: Run, plan: Plan): Iterable<SweepItem> {
  for (const each of plan.repositories) yield* tagIndexItems(run, each);
  for (const each of plan.repositories) yield* manifestItems(run, each, each.manifests);
  for (const each of plan.repositories) yield* layerLinkItems(run, each);
  yield* blobItems(run, plan);
  for (const each of plan.repositories) yield* uploadItems(each);
  for (const each of plan.repositories) if (each.isEmptied) yield repositoryItem(each, { files: [] });
}

export function* tagIndexItems(run: Run, { look, tagIndexEntries }: RepositoryPlan): Iterable<SweepItem> {
  for (const { digest, footprint } of tagIndexEntries) {
    const entry = item("tagIndexEntry", footprint, { digest, repository: look.repository.name });
    yield { ...entry, look, number: run.digests.add(digest) };
  }
}

export function* manifestItems(run: Run, { look }: RepositoryPlan, manifests: readonly number[]): Iterable<SweepItem> {
  for (const number of manifests) {
    const digest = run.digests.digest(number);
    const footprint = look.repository.revisionFootprint(digest, look.signaturesOf(number));
    yield { ...item("manifest", footprint, { digest, repository: look.repository.name }), look, number };
  }
}

/** The signatures beside a manifest: one that is stuck keeps the manifest's link, by which a later run finds it. */
export function* signatureItems(run: Run, { look, number = -1 }: SweepItem): Iterable<SweepItem> {
  const files = look?.signaturesOf(number).map(({ file }) => file) ?? [];
  if (look === undefined || files.length === 0) return;
  const about = { digest: run.digests.digest(number), repository: look.repository.name };
  yield { ...item("manifest", { files }, about), look, number, isPart: true };
}

/** The layer links of a plan that are to go as things are now. */
export function* doomedLayerLinks(run: Run, { look, layerLinks }: RepositoryPlan): Iterable<number> {
  // In the degree "grace" links to living blobs stay, also to those that a revision needs which could not be removed.
  const isGrace = !run.settings.readOnly && !run.quarantines;
  const isAlive = (blob: number) => run.marks.isKept(blob) && run.marks.has(blob, PRESENT);
  for (const number of layerLinks) {
    const loose = look.loose.get(number);
    if (loose !== undefined && !(isGrace && isAlive(loose.blob))) yield number;
  }
}

export function* layerLinkItems(run: Run, repository: RepositoryPlan): Iterable<SweepItem> {
  const { look } = repository;
  for (const number of doomedLayerLinks(run, repository)) {
    const digest = run.digests.digest(number);
    const footprint = look.repository.layerLinkFootprint(digest);
    yield item("layerLink", footprint, { digest, repository: look.repository.name });
  }
}

export function* blobItems(run: Run, plan: Plan): Iterable<SweepItem & { readonly number: number }> {
  for (const number of plan.blobs) {
    const digest = run.digests.digest(number);
    const bytes = run.sizes.get(number) || 0;
    yield { ...item("blob", run.registry.blobFootprint(digest), { digest, bytes }), number };
  }
}

export function* uploadItems({ look, uploads }: RepositoryPlan): Iterable<SweepItem> {
  for (const { footprint, bytes } of uploads) {
    yield item("upload", footprint, { repository: look.repository.name, ...(bytes === undefined ? {} : { bytes }) });
  }
}

export function repositoryItem({ look }: RepositoryPlan, footprint: Footprint): SweepItem {
  const { name, path = name } = look.repository;
  return { planned: { kind: "repository", path, repository: name, reason: REASON.repository }, footprint };
}

function item(
  kind: ItemKind,
  footprint: Footprint,
  about: { readonly digest?: string; readonly repository?: string; readonly bytes?: number },
): SweepItem {
  const path = footprint.files.at(-1) ?? footprint.trees?.[0] ?? "";
  return { planned: { kind, path, ...about, reason: REASON[kind] }, footprint };
}
