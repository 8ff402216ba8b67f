/** What hangs on manifests of a repository that nothing keeps, beside its revisions: manifests that layer links serve, to any depth. */

import type { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";

interface Looked {
  readonly view: RepositoryView;
  /** Revisions that nothing keeps. */
  readonly doomed: ReadonlyMap<number, unknown>;
}

/** Reads what hangs on doomed revisions. None of it is judged: whoever follows it does that. */
export async function readHanging({ catalog }: Run, { view, doomed }: Looked): Promise<void> {
  const asked = new Set<number>();
  for (let level = [...doomed.keys()]; level.length > 0; ) {
    const open = new Set<number>();
    for (const manifest of level) {
      for (const child of catalog.references(manifest).children) if (!asked.has(child) && view.mayServe(child)) open.add(child);
    }
    for (const child of open) asked.add(child);
    await view.served.read([...open]);
    level = [...open].map((child) => view.served.by(child)).filter((blob) => blob !== undefined);
  }
}
