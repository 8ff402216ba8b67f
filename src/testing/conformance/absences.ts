/** Checks of the three answers: there, not there, could not look. What can't be looked up never reads as an absence. */

import type { LookOptions } from "../../namespace.js";
import { InterceptedDriver } from "../interceptedDriver.js";
import {
  absentDigest,
  expectedLines,
  isContentOf,
  linesOf,
  lookAt,
  lookAtRepository,
  repositoriesOf,
  repositoryLines,
} from "./contents.js";
import { ConformanceError, describeError, outcomeOf, same, sameSet } from "./expecting.js";
import { type NamespaceCheck, type NamespaceSubject, namespaceCheck } from "./namespaceCheck.js";

export function absenceChecks(): NamespaceCheck[] {
  return [
    namespaceCheck("readManifest: what is absent is undefined", [], async ({ registry }) => {
      for (const repository of await repositoriesOf(registry)) {
        const bytes = await repository.readManifest(absentDigest(), { maxBytes: 1000 });
        same(bytes, undefined, `readManifest in ${repository.name} of a digest that no registry has`);
      }
    }),
    namespaceCheck("look-ups: what is absent is undefined", [], async ({ registry }) => {
      for (const repository of await repositoriesOf(registry)) {
        same(await repository.lookAtRevision?.(absentDigest()), undefined, `lookAtRevision in ${repository.name}`);
        same(await repository.lookAtLayerLink?.(absentDigest()), undefined, `lookAtLayerLink in ${repository.name}`);
      }
      same(await registry.lookAtBlob?.(absentDigest()), undefined, "lookAtBlob");
    }),
    namespaceCheck("signal: one that is aborted never shortens an answer", [], async (subject) => {
      const reason = new Error("the signal's reason");
      await neverShort(subject, { signal: AbortSignal.abort(reason) }, (error) => error === reason, "the signal's reason");
    }),
    namespaceCheck("signal: one that is aborted between two pages never shortens an answer", [], async ({ registry, holds }) => {
      const reason = new Error("the signal's reason");
      const controller = new AbortController();
      const told = await outcomeOf(async () => {
        const names: string[] = [];
        for await (const { name } of registry.repositories({ signal: controller.signal })) {
          names.push(name);
          controller.abort(reason);
        }
        return names;
      });
      if ("value" in told)
        sameSet(told.value, Object.keys(holds.repositories), "repositories, with a signal that was aborted after the first");
      else if (told.error !== reason)
        throw new ConformanceError(`repositories: expected the signal's reason, got ${describeError(told.error)}`);
    }),
    namespaceCheck("through: a driver that fails never makes an answer shorter", [], async (subject) => {
      const failing: LookOptions = {
        through: (driver) =>
          new InterceptedDriver(driver, async () => {
            throw new Error("this driver can't look");
          }),
      };
      await neverShort(subject, failing, () => true, "an error");
    }),
  ];
}

/** Every listing and every read must answer in full, or reject as it may. */
async function neverShort(
  { registry, holds }: NamespaceSubject,
  options: LookOptions,
  isFine: (error: unknown) => boolean,
  fine: string,
): Promise<void> {
  const inFull = async <T>(what: string, call: () => Promise<T>, check: (value: T) => void) => {
    const outcome = await outcomeOf(call);
    if ("value" in outcome) check(outcome.value);
    else if (!isFine(outcome.error))
      throw new ConformanceError(`${what}: expected ${fine}, or a full answer; got ${describeError(outcome.error)}`);
  };
  await inFull(
    "a look at the registry",
    () => lookAt(registry, options),
    (look) => sameSet(linesOf(look), expectedLines(holds), "a look at the registry"),
  );
  await inFull(
    "repositories",
    () => repositoriesOf(registry, options),
    (repositories) =>
      sameSet(
        repositories.map(({ name }) => name),
        Object.keys(holds.repositories),
        "repositories",
      ),
  );
  for (const repository of await repositoriesOf(registry)) {
    const { name } = repository;
    const right = await lookAtRepository(repository);
    await inFull(
      name,
      () => lookAtRepository(repository, options),
      (look) => sameSet(repositoryLines(look), repositoryLines(right), name),
    );
    for (const { digest } of right.revisions) {
      const isRight = (bytes: Uint8Array | undefined) =>
        same(bytes !== undefined && isContentOf(digest, bytes), true, `readManifest of ${digest} in ${name}`);
      await inFull(`readManifest in ${name}`, () => repository.readManifest(digest, { ...options, maxBytes: 4 * 1024 * 1024 }), isRight);
    }
  }
}
