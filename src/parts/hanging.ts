/**
 * What hangs on manifests of a repository that nothing keeps, as src/hanging.ts reads it: a process that keeps one of them after all, and
 * did not look itself, has to follow that as well.
 */

import type { Reach } from "../mark.js";
import { type RememberedHanging, rememberTime } from "../rememberedLook.js";
import type { RepositoryView } from "../repositoryView.js";
import type { Run } from "../run.js";

/** What a look knows of a repository. */
export interface Looked {
  readonly view: RepositoryView;
  readonly reach: Reach;
  /** Revisions that nothing keeps. */
  readonly doomed: ReadonlyMap<number, unknown>;
  /** Layer links that nothing reaches. */
  readonly loose: ReadonlyMap<number, unknown>;
}

/** What was read of it, for another process; and what of all that is named there the repository keeps. */
export function rememberHanging(
  { catalog, digests }: Run,
  looked: Looked,
): { readonly hanging: RememberedHanging; readonly reached: Set<number> } {
  const { view, doomed, loose } = looked;
  const { served, links, reached } = walk(catalog, looked);
  const namesOf = (numbers: readonly number[]) => numbers.map((number) => digests.digest(number));
  const hanging = {
    served: served.map((number) => {
      const { children, blobs } = catalog.references(number);
      return { digest: digests.digest(number), children: namesOf(children), blobs: namesOf(blobs) };
    }),
    // Loose ones are remembered as such.
    links: [...links]
      .filter((layer) => !loose.has(layer))
      .map((layer) => {
        const { time, isNameOnly } = view.layers.remember(layer);
        const blob = digests.digest(view.layers.blobOf(layer));
        return { digest: digests.digest(layer), time: rememberTime(time), blob, isNameOnly };
      }),
    referrers: [...view.referrersAmong(doomed)].map(([subject, some]) => ({
      subject: digests.digest(subject),
      revisions: namesOf(some),
    })),
  };
  return { hanging, reached };
}

/** Goes through doomed revisions, and through what is served below them and nothing has followed. */
function walk(
  catalog: Run["catalog"],
  { view, reach, doomed }: Looked,
): { readonly served: readonly number[]; readonly links: ReadonlySet<number>; readonly reached: Set<number> } {
  const links = new Set<number>();
  const reached = new Set<number>();
  const known = new Set(doomed.keys());
  // It grows while it is gone through.
  const manifests = [...known];
  for (const manifest of manifests) {
    const { children, blobs } = catalog.references(manifest);
    for (const named of [...children, ...blobs]) {
      const stored = view.storedAs(named);
      if (stored !== undefined) links.add(named);
      for (const number of [named, stored ?? named]) if (reach.digests.has(number)) reached.add(number);
    }
    for (const child of children) {
      if (!view.mayServe(child)) continue;
      const blob = view.served.by(child);
      if (blob !== undefined && reach.manifests.has(blob)) continue;
      links.add(child);
      if (blob === undefined || known.has(blob)) continue;
      known.add(blob);
      manifests.push(blob);
    }
  }
  return { served: manifests.slice(doomed.size), links, reached };
}
