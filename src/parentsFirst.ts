import type { RepositoryPlan } from "./plan.js";
import type { Run } from "./run.js";

/**
 * The doomed manifests of one repository in levels: each before what it keeps, that is before what it names, and before its referrers.
 * What keeps each other in a circle comes last.
 */
export function parentsFirst(run: Run, { look, manifests }: Pick<RepositoryPlan, "look" | "manifests">): number[][] {
  const parents = new Map(manifests.map((number) => [number, 0]));
  const childrenOf = (number: number) => {
    const { children, blobs } = run.catalog.references(number);
    return [...children, ...blobs, ...look.referrersOf(number)].filter((child) => child !== number && parents.has(child));
  };
  for (const number of manifests) for (const child of childrenOf(number)) parents.set(child, (parents.get(child) ?? 0) + 1);

  const result: number[][] = [];
  let level = manifests.filter((number) => parents.get(number) === 0);
  const placed = new Set<number>();
  while (level.length > 0) {
    result.push(level);
    const next: number[] = [];
    for (const number of level) {
      placed.add(number);
      for (const child of childrenOf(number)) {
        const left = (parents.get(child) ?? 0) - 1;
        parents.set(child, left);
        if (left === 0) next.push(child);
      }
    }
    level = next;
  }
  const circle = manifests.filter((number) => !placed.has(number));
  return circle.length === 0 ? result : [...result, circle];
}
