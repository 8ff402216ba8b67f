/** What a look found, made into what another process needs to go on with it. */

import { type RememberedLook, rememberTime } from "../rememberedLook.js";
import type { RepositoryLook } from "../repositoryLook.js";
import type { Run } from "../run.js";
import { rememberHanging } from "./hanging.js";

export function rememberLook(run: Run, look: RepositoryLook): RememberedLook {
  const { digests, catalog } = run;
  const { view } = look;
  const namesOf = (numbers: Iterable<number>) => [...numbers].map((number) => digests.digest(number));
  const { hanging, reached } = rememberHanging(run, look);
  const doomed = [...look.doomed].map(([number, time]) => {
    const { children, blobs } = catalog.references(number);
    return {
      digest: digests.digest(number),
      time: rememberTime(time),
      children: namesOf(children),
      blobs: namesOf(blobs),
      signatures: look.signaturesOf(number),
    };
  });
  for (const link of view.layers.journaled()) {
    const number = digests.add(link.digest);
    if (look.isReached(number)) reached.add(number);
  }
  return {
    name: look.repository.name,
    isDamaged: view.isDamaged,
    otherwiseEmpty: look.otherwiseEmpty,
    otherRevisions: view.revisions.size + view.otherRevisions - doomed.length,
    doomed,
    hanging,
    loose: [...look.loose].map(([number, { time, blob, isChanged }]) => ({
      digest: digests.digest(number),
      time: rememberTime(time),
      blob: digests.digest(blob),
      isChanged,
    })),
    uploads: look.expiredUploads.map((upload) => ({ ...upload, newest: rememberTime(upload.newest?.getTime()) })),
    reached: namesOf(reached),
  };
}
