/** What a check of a namespace is. */

import type { Namespace } from "../../namespace.js";
import type { RegistryContents } from "./contents.js";
import { ConformanceError, describeError } from "./expecting.js";

/** A namespace to be checked. It is only looked at: nothing is written. */
export interface NamespaceSubject {
  readonly registry: Namespace;
  /** All that the registry holds: at least one repository, with a tag, a revision and a layer link; two or more say more. */
  readonly holds: RegistryContents;
}

/** One promise of a namespace, as any test runner can ask for it. */
export interface NamespaceCheck {
  /** `<subject>: <promise>`. It never changes between minors, so that one may be left out by name. */
  readonly name: string;
  /** The optional members of a namespace that it uses: without one of them there is nothing to check. */
  readonly needs: readonly string[];
  /** @throws {@link ConformanceError} where the promise is broken, a needed member is missing, or too little is held. */
  run(subject: NamespaceSubject): Promise<void>;
}

/** The optional members of a namespace that checks ask for. */
export type NamespaceMember = "blobFootprint" | "lookAtBlob" | "online";

/** A subject whose namespace has these members. */
export interface SubjectWith<N extends NamespaceMember> {
  readonly registry: Namespace & { readonly [K in N]-?: NonNullable<Namespace[K]> };
  readonly holds: RegistryContents;
}

/** Makes a check. */
export function namespaceCheck<N extends NamespaceMember>(
  name: string,
  needs: readonly N[],
  body: (subject: SubjectWith<N>) => Promise<void>,
): NamespaceCheck {
  return {
    name,
    needs,
    run: async (subject) => {
      if (!hasMembers(subject, needs))
        throw new ConformanceError(`${name}: the namespace lacks ${needs.join(" or ")}: leave out checks whose needs it lacks`);
      if (!isEnough(subject.holds)) {
        throw new ConformanceError(
          `${name}: the registry is to hold a blob, and a repository with a tag, a revision and a layer link: else nothing is checked`,
        );
      }
      try {
        await body(subject);
      } catch (error) {
        const message = error instanceof ConformanceError ? error.message : `expected no error, got ${describeError(error)}`;
        throw new ConformanceError(`${name}: ${message}`, { cause: error });
      }
    },
  };
}

function hasMembers<N extends NamespaceMember>(subject: NamespaceSubject, needs: readonly N[]): subject is SubjectWith<N> {
  return needs.every((need) => subject.registry[need] !== undefined);
}

function isEnough({ repositories, blobs }: RegistryContents): boolean {
  const all = Object.values(repositories);
  const has = (count: (each: RegistryContents["repositories"][string]) => number) => all.some((each) => count(each) > 0);
  return (
    blobs.length > 0 &&
    has(({ tags }) => Object.keys(tags).length) &&
    has(({ revisions }) => revisions.length) &&
    has(({ layerLinks }) => layerLinks.length)
  );
}
