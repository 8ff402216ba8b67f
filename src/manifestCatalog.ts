/**
 * What the manifests of a registry name, as far as they were read: each is held as a few numbers. A damaged one is damaged wherever it is
 * linked.
 */

import { Column } from "./internal/column.js";
import type { KnownManifest } from "./manifestEntry.js";
import type { ManifestFacts } from "./manifestRule.js";
import type { References } from "./mark.js";
import type { DamageKind } from "./namespace.js";
import { ReferenceLists } from "./referenceLists.js";

export interface ManifestProblem {
  readonly kind: DamageKind;
  readonly message: string;
  /** Of bytes that were not proved: whether they may be what is left of a document. */
  readonly mayBeDocument?: boolean;
}

const WHOLE = 1;
const BROKEN = 2;
const IS_MANIFEST = 4;

export class ManifestCatalog {
  private readonly states = Column.bytes();
  /** Children, blobs and subjects. */
  private readonly lists = new ReferenceLists();
  private readonly problems = new Map<number, ManifestProblem>();
  private readonly facts = new Map<number, ManifestFacts>();

  /** Whether anything is held of the manifest. */
  knows(manifest: number): boolean {
    return this.states.get(manifest) !== 0;
  }

  /** Holds what is wrong with a manifest. */
  break(manifest: number, problem: ManifestProblem): void {
    this.problems.set(manifest, problem);
    this.states.set(manifest, BROKEN);
  }

  /** Forgets those that were not there: nothing was read of them, and a later look may find them. */
  forgetMissing(): void {
    for (const [manifest, { kind }] of this.problems) {
      if (kind !== "missing-manifest") continue;
      this.problems.delete(manifest);
      this.states.set(manifest, 0);
    }
  }

  /** Holds what was read of a manifest. */
  hold(manifest: number, { children, blobs, subjects, facts, isManifest }: KnownManifest): void {
    this.lists.set(manifest, [children, blobs, subjects]);
    if (facts !== undefined) this.facts.set(manifest, facts);
    this.states.set(manifest, WHOLE | (isManifest ? IS_MANIFEST : 0));
  }

  /** Holds what another process has read of a manifest. */
  adopt(manifest: number, { children, blobs }: References): void {
    if (this.states.get(manifest) !== 0) return;
    this.lists.set(manifest, [[...children], [...blobs], []]);
    this.states.set(manifest, WHOLE | IS_MANIFEST);
  }

  /** Whether the manifest was read and is whole. */
  isWhole(manifest: number): boolean {
    return (this.states.get(manifest) & WHOLE) !== 0;
  }

  /** Whether what was read looks like a manifest at all. */
  isManifest(manifest: number): boolean {
    return (this.states.get(manifest) & IS_MANIFEST) !== 0;
  }

  problem(manifest: number): ManifestProblem | undefined {
    return this.problems.get(manifest);
  }

  factsOf(manifest: number): ManifestFacts | undefined {
    return this.facts.get(manifest);
  }

  /** What a manifest names; nothing where it is not whole. */
  references(manifest: number): References {
    return { children: this.lists.get(manifest, 0), blobs: this.lists.get(manifest, 1) };
  }

  /** What a manifest is about. */
  subjects(manifest: number): readonly number[] {
    return this.lists.get(manifest, 2);
  }
}
