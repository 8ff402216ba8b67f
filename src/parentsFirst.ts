/**
 * In which order manifests go: each before what it keeps, so that what one that can't be removed needs is still there. A manifest keeps
 * what it names, by whatever digest, also through manifests that layer links serve; and its referrers. Names alone make no circle, since a
 * digest tells what it is of; names and subjects together may.
 */

import type { RepositoryPlan } from "./plan.js";
import type { RepositoryLook } from "./repositoryLook.js";
import type { Run } from "./run.js";

/** What one manifest keeps. */
interface Kept {
  readonly named: readonly number[];
  readonly referrers: readonly number[];
}

type Graph = ReadonlyMap<number, Kept>;

/**
 * The doomed manifests of one repository in levels: nothing is kept by what stands in a later one. What keeps each other in a circle
 * stands in the order of its names. What layer links serve below them has been read by then (src/hanging.ts).
 */
export function parentsFirst(run: Run, { look, manifests }: Pick<RepositoryPlan, "look" | "manifests">): number[][] {
  const graph = graphOf(run, look, manifests);
  const levels: number[][] = [];
  const starts = new Map<number, number>();
  for (const circle of circlesOf(graph)) {
    const start = circle.reduce((level, number) => Math.max(level, starts.get(number) ?? 0), 0);
    const parts = inOrderOfNames(graph, circle);
    parts.forEach((some, i) => {
      for (const number of some) (levels[start + i] ??= []).push(number);
    });
    for (const number of circle)
      for (const child of keptBy(graph, number)) starts.set(child, Math.max(starts.get(child) ?? 0, start + parts.length));
  }
  const doomed = new Set(manifests);
  return levels.map((level) => level.filter((number) => doomed.has(number))).filter((level) => level.length > 0);
}

/** The doomed manifests, and those between them that layer links serve. */
function graphOf({ catalog }: Run, { view }: RepositoryLook, manifests: readonly number[]): Graph {
  const doomed = new Set(manifests);
  const graph = new Map<number, Kept>();
  const open = [...doomed];
  for (let number = open.pop(); number !== undefined; number = open.pop()) {
    if (graph.has(number)) continue;
    const { children, blobs } = catalog.references(number);
    const named = [...children, ...blobs].flatMap((each) => [each, view.layers.blobOf(each)]).filter((each) => doomed.has(each));
    for (const child of children) {
      const served = view.mayServe(child) ? view.served.by(child) : undefined;
      if (served === undefined) continue;
      named.push(served);
      open.push(served);
    }
    graph.set(number, { named, referrers: view.referrersOf(number).filter((each) => doomed.has(each)) });
  }
  return graph;
}

function keptBy(graph: Graph, number: number): readonly number[] {
  const { named = [], referrers = [] } = graph.get(number) ?? {};
  return [...named, ...referrers];
}

/** A manifest on the way of a search. */
interface Step {
  readonly number: number;
  readonly rest: Iterator<number>;
  readonly at: number;
  /** The earliest on the way that it leads back to. */
  back: number;
}

/**
 * What keeps each other, together; what keeps something else before that. Nearly all stand alone. These are the strongly connected
 * components of the graph, as Tarjan finds them, without recursion: indexes may be nested in thousands.
 */
function circlesOf(graph: Graph): number[][] {
  const circles: number[][] = [];
  const seen = new Map<number, number>();
  const unplaced: number[] = [];
  const isUnplaced = new Set<number>();
  const enter = (number: number): Step => {
    const at = seen.size;
    seen.set(number, at);
    unplaced.push(number);
    isUnplaced.add(number);
    return { number, rest: keptBy(graph, number)[Symbol.iterator](), at, back: at };
  };
  for (const root of graph.keys()) {
    const way = seen.has(root) ? [] : [enter(root)];
    for (let step = way.at(-1); step !== undefined; step = way.at(-1)) {
      const next = step.rest.next();
      if (next.done !== true) {
        const at = seen.get(next.value);
        if (at === undefined) way.push(enter(next.value));
        else if (isUnplaced.has(next.value)) step.back = Math.min(step.back, at);
        continue;
      }
      way.pop();
      const before = way.at(-1);
      if (before !== undefined) before.back = Math.min(before.back, step.back);
      if (step.back < step.at) continue;
      const circle = unplaced.splice(unplaced.lastIndexOf(step.number));
      for (const number of circle) isUnplaced.delete(number);
      circles.push(circle);
    }
  }
  return circles.reverse();
}

/** What keeps each other in levels, by names alone. Where even these make a circle, since a link tells another digest, it comes last. */
function inOrderOfNames(graph: Graph, circle: readonly number[]): number[][] {
  if (circle.length === 1) return [[...circle]];
  const parents = new Map(circle.map((number) => [number, 0]));
  const childrenOf = (number: number) => (graph.get(number)?.named ?? []).filter((child) => child !== number && parents.has(child));
  for (const number of circle) for (const child of childrenOf(number)) parents.set(child, (parents.get(child) ?? 0) + 1);
  const levels: number[][] = [];
  for (let level = circle.filter((number) => parents.get(number) === 0); level.length > 0; ) {
    levels.push(level);
    const next: number[] = [];
    for (const number of level) {
      parents.delete(number);
      for (const child of childrenOf(number)) {
        const left = (parents.get(child) ?? 0) - 1;
        parents.set(child, left);
        if (left === 0) next.push(child);
      }
    }
    level = next;
  }
  return parents.size === 0 ? levels : [...levels, [...parents.keys()]];
}
