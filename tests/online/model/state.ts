/**
 * What the model remembers: one layer, one manifest that names it, two repositories, two clients, one collector (and perhaps a second
 * one that fell asleep in the middle of a batch). A state is flat and never changed, so that its values are its name.
 */

/** Repository A is 0, B is 1. */
export type Repository = 0 | 1;
export type Client = 0 | 1;
export type Pair<T> = readonly [T, T];

export const BOTH = [0, 1] as const;

/** Old: from before the run. Young: written since, which is what a look goes by. */
export type Link = "none" | "old" | "young";

/** A copy that lies aside is known to a run that listed it when it began; a sleeper's late move makes one that is not. */
export type Aside = "no" | "known" | "unknown";

export type ClientStep =
  | "idle"
  | "upload: layer there"
  | "upload: layer absent"
  | "mount"
  | "ready"
  | "put: link checked"
  | "put: layer checked"
  | "put: manifest absent"
  | "put: manifest there"
  | "acknowledged";

export type CollectorStep =
  | "markA"
  | "markB"
  | "moveManifest"
  | "dropManifest"
  | "moveLayer"
  | "dropLayer"
  | "checkLinkA"
  | "removeLinkA"
  | "checkLinkB"
  | "removeLinkB"
  | "recover"
  | "drain"
  | "lookA"
  | "lookB"
  | "layerBack"
  | "manifestBack"
  | "linksBack"
  | "between"
  | "checkRevision"
  | "removeRevision"
  | "lookForManifest"
  | "deleteLayer"
  | "deleteManifest"
  | "healing"
  | "done";

/** What a mark plans to take, apart from the manifest; the journal holds it. */
export type Planned = "layer" | "linkA" | "linkB";

/** What the look under way has found so far: what is kept, which layer links are missing, and whether anything can't be read. */
export type Finding = "layer" | "manifest" | "missingA" | "missingB" | "damage";

export interface State {
  /** Whether the data is in its place. */
  readonly layer: boolean;
  readonly manifest: boolean;
  readonly layerAside: Aside;
  readonly manifestAside: Aside;
  readonly layerLinks: Pair<Link>;
  readonly revisions: Pair<Link>;
  readonly clients: Pair<ClientStep>;
  /** Whether a descriptor cache still says of everything that it exists. */
  readonly cached: boolean;
  /** The first run plans; a purge run deletes what the first took; the last only heals what a sleeper did. */
  readonly run: "first" | "purge" | "last";
  readonly collector: CollectorStep;
  readonly plan: readonly Planned[];
  readonly awaited: readonly Client[];
  readonly found: readonly Finding[];
  /** What the first run's journal names counts until none of it lies aside any more. */
  readonly journal: "open" | "closed";
  /** The journal says that revision links are being removed. */
  readonly purging: boolean;
  /** A crash or a sleep: one is enough. */
  readonly failed: boolean;
  /** Where the collector that fell asleep goes on. */
  readonly sleeper: CollectorStep | "nobody";
}

export interface Step {
  readonly label: string;
  readonly state: State;
}

/** What is checked, and under which circumstances. */
export interface Variant {
  /** Where the second client pushes; the first pushes to A. */
  readonly second: "A" | "B";
  /** Another manifest, tagged, in B needs the layer. */
  readonly layerIsAlive: boolean;
  /** `quarantineMs: 0`: a run purges what it took itself. */
  readonly purgesAtOnce: boolean;
  /** A descriptor cache that nobody tells: none, one that is never emptied, one that is emptied between run and purge. */
  readonly cache: "none" | "kept" | "emptied";
  /** What befalls the collector, once, at any moment. A sleeper is taken for dead, and wakes later. */
  readonly fault: "none" | "crash" | "sleep";
  /** How data is moved: by one rename, or as object stores do it, by a copy and a removal. */
  readonly moves: "rename" | "copy";
  /** Whether a journal stops to count in the very run that leaves nothing of it aside, or goes on to tell which layer links it took. */
  readonly journal: "closes at once" | "stays open";
}

/** What the collector can be made to leave out. */
export const PROTECTIONS = [
  "drain",
  "look",
  "recheck",
  "purge's drain",
  "purge's look",
  "look again",
  "known before the drain",
  "layer link check",
  "revision link check",
  "fence",
] as const;
export type Protection = (typeof PROTECTIONS)[number];

export interface Rules extends Variant {
  readonly without: ReadonlySet<Protection>;
}

export const nameOf = (repository: Repository): "A" | "B" => (repository === 0 ? "A" : "B");

export function replaced<T>(pair: Pair<T>, which: 0 | 1, value: T): Pair<T> {
  return which === 0 ? [value, pair[1]] : [pair[0], value];
}

/** At the start: an old untagged manifest in A, an old link to its layer there, and one in B. */
export function start(rules: Rules): State {
  return {
    layer: true,
    manifest: true,
    layerAside: "no",
    manifestAside: "no",
    layerLinks: ["old", "old"],
    revisions: ["old", "none"],
    clients: ["idle", "idle"],
    cached: rules.cache !== "none",
    run: "first",
    collector: "markA",
    plan: [],
    awaited: [],
    found: [],
    journal: "open",
    purging: false,
    failed: false,
    sleeper: "nobody",
  };
}
