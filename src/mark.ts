/**
 * The mark: a pure walk over injected look-ups, without input or output, for one repository.
 *
 * The caller guarantees that the references of every revision of the repository have been read, and that digests are the numbers
 * of one {@link DigestIndex}. Time and memory are linear in the references that are followed; nothing recurses, and cycles end.
 */

import { NumberSet } from "./internal/numberMap.js";
import { Turns, turn } from "./internal/turn.js";

/** What a manifest names, as numbers. */
export interface References {
  /** Named in a way that lets it be a manifest. */
  readonly children: readonly number[];
  /** Named as something that is none. */
  readonly blobs: readonly number[];
}

/** A repository, as far as the mark has to know it. */
export interface Graph {
  /** Whether the repository has a revision link for this manifest: existence decides, never what a descriptor claims. */
  isRevision(number: number): boolean;
  references(manifest: number): References;
  /** The revisions whose subject this is. */
  referrersOf(manifest: number): readonly number[];
  /** The digest under which a blob is stored, where a manifest names it by another one. */
  storedAs(number: number): number | undefined;
  /** Of digests without a revision link, those that the repository serves as manifests by a layer link; their references read by then. */
  servedAsManifests(numbers: readonly number[]): Promise<readonly number[]>;
}

/** What has been reached in one repository. It grows from mark to mark. */
export interface Reach {
  /** Manifests that were followed. */
  readonly manifests: NumberSet;
  /** Everything that is needed: manifests and what they name. */
  readonly digests: NumberSet;
  /** The manifest by which each digest was reached first, where somebody wants to know; roots have none. */
  readonly cameFrom?: Map<number, number> | undefined;
}

export function emptyReach(tellsWay = false): Reach {
  return { manifests: new NumberSet(), digests: new NumberSet(), cameFrom: tellsWay ? new Map() : undefined };
}

/** Follows everything that these roots keep: downward through what they name, sideways through what is about them. */
export async function mark(
  graph: Graph,
  roots: Iterable<number>,
  reach: Reach,
  onReach: (number: number) => void,
  turns = new Turns(),
): Promise<void> {
  let frontier: readonly number[] = [...roots];
  while (frontier.length > 0) {
    const open = await follow(graph, frontier, reach, onReach, turns);
    frontier = open.length === 0 ? [] : await graph.servedAsManifests(open);
  }
}

/** Follows all that is known, and returns what might be a manifest though it is no revision. */
async function follow(
  graph: Graph,
  roots: readonly number[],
  reach: Reach,
  onReach: (number: number) => void,
  turns: Turns,
): Promise<number[]> {
  const stack: number[] = [];
  const open: number[] = [];
  let from: number | undefined;

  const need = (number: number) => {
    if (!reach.digests.add(number)) return;
    if (from !== undefined) reach.cameFrom?.set(number, from);
    onReach(number);
  };
  const enter = (manifest: number) => {
    need(manifest);
    if (!reach.manifests.add(manifest)) return;
    const stored = graph.storedAs(manifest);
    if (stored !== undefined) need(stored);
    stack.push(manifest);
  };
  const enterRevision = (number: number | undefined): boolean => {
    if (number === undefined || !graph.isRevision(number)) return false;
    enter(number);
    return true;
  };
  const visit = (named: number, mayBeManifest: boolean) => {
    const stored = graph.storedAs(named);
    need(named);
    if (stored !== undefined) need(stored);
    // A repository may have it by either name, or by both.
    const isNamed = enterRevision(named);
    const isStored = enterRevision(stored);
    if (!isNamed && !isStored && mayBeManifest) open.push(named);
  };

  for (const root of roots) enter(root);
  for (let manifest = stack.pop(); manifest !== undefined; manifest = stack.pop()) {
    if (turns.isLong()) await turn();
    from = manifest;
    const { children, blobs } = graph.references(manifest);
    for (const child of children) visit(child, true);
    for (const blob of blobs) visit(blob, false);
    for (const referrer of graph.referrersOf(manifest)) enter(referrer);
  }
  return open;
}
