/** A repository as another process of the run has read it: only what may go is in it. */

import type { Repository } from "./namespace.js";
import { type RememberedLook, recallTime } from "./rememberedLook.js";
import { RepositoryView } from "./repositoryView.js";
import type { Run } from "./run.js";

export function recallRepository(run: Run, repository: Repository, remembered: RememberedLook): RepositoryView {
  const view = new RepositoryView(run, repository);
  const numbersOf = (names: readonly string[]) => names.map((name) => run.digests.add(name));
  view.isDamaged = remembered.isDamaged;
  view.otherRevisions = remembered.otherRevisions;
  for (const { digest, time, children, blobs, signatures } of remembered.doomed) {
    const number = run.digests.add(digest);
    view.revisions.set(number, recallTime(time));
    run.catalog.adopt(number, { children: numbersOf(children), blobs: numbersOf(blobs) });
    if (signatures.length > 0) view.signaturesOf.set(number, signatures);
  }
  const { served, links, referrers } = remembered.hanging;
  for (const { digest, children, blobs } of served)
    run.catalog.adopt(run.digests.add(digest), { children: numbersOf(children), blobs: numbersOf(blobs) });
  for (const { subject, revisions } of referrers)
    for (const revision of numbersOf(revisions)) view.addReferrer(run.digests.add(subject), revision);
  for (const { digest, time, blob, isNameOnly } of [...links, ...remembered.loose.map((link) => ({ ...link, isNameOnly: false }))])
    view.layers.recall(run.digests.add(digest), run.digests.add(blob), { time: recallTime(time), isNameOnly });
  view.layers.takeJournals();
  return view;
}
