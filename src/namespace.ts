/**
 * The contract of a namespace: what a registry is, as the collector sees it. `openRegistry` implements it over the v2 layout of
 * distribution; a registry with a metadata store of its own implements it over that.
 *
 * Everything is said in digests and names; only footprints speak of paths. Listings come in pages, in any order, and may be asked
 * for again: a second look is the same call. What can't be looked up is an error, never an absence.
 */

import type { AbortOptions, StorageDriver } from "./driver.js";

/** What the collector hands to every method. */
export interface LookOptions extends AbortOptions {
  /**
   * A driver's calls are to be made through what this returns for it, so that they are counted, bounded and cancelled with the
   * run. A namespace that uses no driver leaves it aside.
   */
  readonly through?: ((driver: StorageDriver) => StorageDriver) | undefined;
  /** To be told of each file or directory that belongs to nothing: stray files stay, and are counted. */
  readonly onUnrecognized?: ((path: string) => unknown) | undefined;
  /** To be told of what is wrong with a repository and is no tag's, revision's or link's: a file in the place of one of its directories. */
  readonly onDamage?: ((damage: Damage) => unknown) | undefined;
  /** To be told of each directory within a repository, and of each link, that is a symbolic link: other repositories may share it. */
  readonly onLinkedDirectory?: ((path: string) => unknown) | undefined;
  /**
   * Where a listing goes on naming what is not there: waits for it to catch up, longer with each attempt (from 0 on), and resolves with
   * whether to look again. What is still named then could not be looked at.
   */
  readonly awaitListing?: ((attempt: number) => Promise<boolean>) | undefined;
}

/** Content that was read and is wrong. A call that failed is no damage: it rejects. */
export interface Damage {
  readonly kind: DamageKind;
  readonly path: string;
  readonly message: string;
}

/** The kinds of damage, as a report's `problems` name them. */
export type DamageKind =
  | "empty-link"
  | "malformed-link"
  | "mismatched-link"
  | "missing-current-link"
  | "misplaced-file"
  | "dangling-tag"
  | "missing-manifest"
  | "digest-mismatch"
  | "not-json"
  | "too-large";

/** What goes with a thing: exactly these files, and where a store has directories those that were emptied, below `upTo`. */
export interface Footprint {
  readonly files: readonly string[];
  /** Directories that go with all below them: nothing else of the registry ever lies there. */
  readonly trees?: readonly string[] | undefined;
  readonly upTo?: string | undefined;
}

export interface BlobInfo {
  readonly digest: string;
  /** Bytes, where the listing has it for free. */
  readonly size?: number | undefined;
  /** By the storage's clock, where the listing has it for free. */
  readonly modTime?: Date | undefined;
}

/** A repository has this manifest. */
export interface Revision {
  readonly digest: string;
  /** When it was written, by the storage's clock; where that is not known, it counts as young. */
  readonly modTime?: Date | undefined;
  readonly damage?: Damage | undefined;
  /** False where the listing has seen that no signatures lie beside it: then {@link Repository.signatures} is not asked. */
  readonly hasSignatures?: boolean | undefined;
}

/** A repository may serve this blob. */
export interface LayerLink {
  readonly digest: string;
  /** The digest under which the blob is stored, where it is another one: sha512 uploads lie under sha256. */
  readonly target?: string | undefined;
  /** When it was written, by the storage's clock; where that is not known, it counts as young. */
  readonly modTime?: Date | undefined;
  readonly damage?: Damage | undefined;
  /** A listing named it, and nobody looked whether it is there: ask {@link Repository.lookAtLayerLink}. */
  readonly nameOnly?: boolean | undefined;
}

/** What a tag names now. */
export interface Tag {
  readonly name: string;
  readonly path: string;
  /** Absent only where `damage` says why; a tag with neither counts as damaged. */
  readonly digest?: string | undefined;
  /** When its current link was written, by the storage's clock. */
  readonly modTime?: Date | undefined;
  readonly damage?: Damage | undefined;
}

/** A manifest that a tag named once, or names now. */
export interface TagIndexEntry {
  readonly tag: string;
  readonly digest: string;
  readonly footprint: Footprint;
  /** The tag's current link: an entry is written anew only where the tag is still there. */
  readonly current?: string | undefined;
}

/** A signature of an old registry, kept beside a schema 1 revision: a blob of its own, and a link to it. */
export interface Signature {
  readonly digest: string;
  readonly file: string;
}

/** An upload that was begun. */
export interface Upload {
  readonly path: string;
  /** The newest sign of life; absent where there is none. */
  readonly newest?: Date | undefined;
  readonly bytes?: number | undefined;
  readonly footprint: Footprint;
}

/** A repository without damage and signatures. Digests are the 32 bytes of sha256, one after the other. */
export interface RepositoryOverview {
  readonly revisions: Uint8Array;
  /** When the link of each revision was written: milliseconds since 1970. */
  readonly times: Float64Array;
  /** Named by listings: nobody looked whether the links are there. */
  readonly layerLinks: Uint8Array;
  /** What each tag names. */
  readonly tagged: Uint8Array;
  /** A tag, by its place in `tagged`. */
  tag(index: number): Pick<Tag, "name" | "path">;
}

/** One repository. The optional members are for layouts that have such things. */
export interface Repository {
  readonly name: string;
  /** Where it lies, for reports; its name where that means nothing. */
  readonly path?: string | undefined;

  revisions(options?: LookOptions): AsyncIterable<readonly Revision[]>;
  tags(options?: LookOptions): AsyncIterable<readonly Tag[]>;
  layerLinks(options?: LookOptions): AsyncIterable<readonly LayerLink[]>;

  /**
   * The bytes of a manifest; `undefined` where there is none. Of one that is larger than `maxBytes` any `maxBytes + 1` bytes do.
   * The collector checks them against the digest itself.
   */
  readManifest(digest: string, options: LookOptions & { readonly maxBytes: number }): Promise<Uint8Array | undefined>;

  /**
   * The single members that those stand for which answer many questions at once. Where a wrapper has put another in the place of one of
   * these, that one is asked, and the many are not.
   */
  readonly manyOf?:
    | (Pick<Repository, "readManifest"> & Partial<Pick<Repository, "revisions" | "layerLinks" | "tags" | "lookAtLayerLink">>)
    | undefined;

  /**
   * For several manifests, in the order asked, what a function makes of them where they are: `visit` is for
   * {@link StorageDriver.visitMany}. `undefined` for each that is to be read after all.
   */
  visitManifests?(
    digests: readonly string[],
    options: LookOptions & { readonly visit: string },
  ): Promise<readonly (Uint8Array | undefined)[]>;

  /**
   * All that `revisions`, `layerLinks` and `tags` tell, in one answer, looked at in this order; `undefined` where these are to be asked
   * after all: since there is damage, something unrecognized, a signature, a digest other than sha256, or too much for one answer. `manyOf` holds
   * these three, too.
   */
  overview?(options?: LookOptions): Promise<RepositoryOverview | undefined>;

  /** What goes when this revision goes; `signatures` are those that belong to it. */
  revisionFootprint(digest: string, signatures: readonly Signature[]): Footprint;
  /** What goes when this layer link goes. */
  layerLinkFootprint(digest: string): Footprint;

  /** One link as it is now, with its time; `undefined` where it is gone. Needed where listings don't tell times. */
  lookAtRevision?(digest: string, options?: LookOptions): Promise<Revision | undefined>;
  lookAtLayerLink?(digest: string, options?: LookOptions): Promise<LayerLink | undefined>;
  /** Several layer links, in the order asked, where many are looked at faster together; `manyOf` holds the single member. */
  lookAtLayerLinks?(digests: readonly string[], options?: LookOptions): Promise<readonly (LayerLink | undefined)[]>;

  /** The tag index entries that exist for any of these digests. */
  tagIndexEntries?(digests: ReadonlySet<string>, options?: LookOptions): AsyncIterable<readonly TagIndexEntry[]>;
  /** The signatures that lie beside a revision. */
  signatures?(digest: string, options?: LookOptions): Promise<readonly Signature[]>;
  uploads?(options?: LookOptions): AsyncIterable<readonly Upload[]>;

  /** The repository listed afresh; where absent, asking this one again does that. `undefined` where it is gone. */
  again?(options?: LookOptions): Promise<Repository | undefined>;
  /** What goes when a repository that holds nothing goes; `undefined` where it holds something after all. */
  emptyFootprint?(options?: LookOptions): Promise<Footprint | undefined>;
}

/** Where a run keeps what it needs on the registry's own storage. Registries never look there. */
export interface OnlinePlaces {
  /** The file that is the lock of a run. */
  readonly lock: string;
  /** The directory of quarantine and journals. */
  readonly aside: string;
}

/** A repository, as a survey of the registry tells it. */
export interface SurveyedRepository {
  readonly name: string;
  /** About how many manifests it has: work is dealt out by it. */
  readonly revisions: number;
}

/** For collections that several processes make together: the registry told in pieces, each by itself. */
export interface NamespacePieces {
  /**
   * The members that the pieces stand for. Where the namespace's own are others, a wrapper's that hides something or adds it, these are
   * not asked: what they don't tell would be taken for garbage.
   */
  readonly of: Pick<Namespace, "repositories" | "blobs">;
  /** Where a survey may begin, each of these a piece of it. */
  surveyRoots(options?: LookOptions): Promise<readonly string[]>;
  /** The repositories of one such piece. */
  survey(root: string, options?: LookOptions): AsyncIterable<readonly SurveyedRepository[]>;
  /** A repository by its name, not looked at: {@link Repository.again}, where it has that, lists it. */
  repository(name: string): Repository;
  /** The blobs of which the first byte of the hex is one of `from` up to, and without, `to`: 0 to 256. */
  blobsBetween(from: number, to: number, options?: LookOptions): AsyncIterable<readonly BlobInfo[]>;
}

/** A registry. */
export interface Namespace {
  repositories(options?: LookOptions): AsyncIterable<Repository>;
  blobs(options?: LookOptions): AsyncIterable<readonly BlobInfo[]>;
  /** What goes when this blob goes. A namespace that does not say so is taken to lie in the v2 layout, as all that is optional here. */
  blobFootprint?(digest: string): Footprint;

  /** One blob as it is now, with size and time; `undefined` where it is gone. Needed where listings don't tell them. */
  lookAtBlob?(digest: string, options?: LookOptions): Promise<BlobInfo | undefined>;
  /** The same for several blobs, in the order asked, where many are looked at faster together; `manyOf` as that of a repository. */
  readonly manyOf?: (Pick<Namespace, "lookAtBlob"> & Partial<Pick<Namespace, "blobs">>) | undefined;
  lookAtBlobs?(digests: readonly string[], options?: LookOptions): Promise<readonly (BlobInfo | undefined)[]>;
  /** What `blobs` tells; a page of nothing but names under sha256 may be their bytes, 32 each. */
  packedBlobs?(options?: LookOptions): AsyncIterable<readonly BlobInfo[] | Uint8Array>;
  /**
   * Where locks, journals and what lies aside are kept. Without it there is no quarantine. With it, links must be what registries of
   * the v2 layout write: files that hold the digest under which the blob is stored.
   */
  readonly online?: OnlinePlaces | undefined;
  /** Whether this storage may be collected at all; rejects where not, and answers with what is to be warned of. */
  guard?(options?: LookOptions): Promise<readonly string[]>;
  /** Without it, or with those of another namespace, the registry can be collected by one process only. */
  readonly pieces?: NamespacePieces | undefined;
}
