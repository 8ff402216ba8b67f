/** The words of reports: what each member means, said once for the terminal and for the page. */

import type { DamageKind, GcReport, Phase, Reason, RunStatus, Safety } from "../index.js";
import { printable } from "./printable.js";

/** How a run ended. */
export const STATUS: Readonly<Record<RunStatus, string>> = {
  completed: "completed",
  "completed-with-failures": "completed, with failures",
  refused: "refused",
  aborted: "broken off",
};

/** How a run was protected against writers. */
export const SAFETY: Readonly<Record<Safety, string>> = {
  quiesced: "nothing writes to the registry, says the caller: garbage is deleted at once",
  quarantine: "the registry may be serving: garbage is put aside, and deleted by a later run",
  grace: "the registry may be serving, and garbage is deleted at once: what is young stays",
};

interface ReasonWords {
  readonly what: string;
  readonly why: string;
}

/** What goes for a reason, and why. */
export const REASONS: Readonly<Record<Reason, ReasonWords>> = {
  unreachable: { what: "blobs", why: "no kept manifest reaches them" },
  untagged: { what: "manifests", why: "nothing keeps them" },
  "index-entry-of-removed-manifest": { what: "tag index entries", why: "their manifest goes" },
  "layer-not-reached": { what: "layer links", why: "no kept manifest of their repository reaches the layer" },
  "upload-expired": { what: "uploads", why: "begun and not finished" },
  "repository-empty": { what: "repositories", why: "they hold nothing" },
};

/** The phases in the order in which a run first enters them, and what each is spent on. */
export const PHASES: Readonly<Record<Phase, string>> = {
  inventory: "every blob is listed",
  mark: "every repository is read, and what it needs is marked",
  look: "every repository is looked at again, since others may write",
  sweep: "the plan is carried out",
  drain: "requests that began before are left time to end",
  purge: "what earlier runs put aside is deleted",
};

interface KindWords {
  readonly what: string;
  readonly todo: string;
}

const PUSH_AGAIN = "Push the image again, or delete the tag through the registry.";
const PUSH_LINK = "Push the image again. Where the link is a tag's or a revision's, deleting the tag or the manifest does as well.";
const PUSH_MANIFEST = "Push the image again, or delete the manifest through the registry.";

const DAMAGE: Readonly<Record<DamageKind, KindWords>> = {
  "empty-link": { what: "a link of zero bytes, as a crash leaves it", todo: PUSH_LINK },
  "malformed-link": { what: "a link that holds no digest", todo: PUSH_LINK },
  "mismatched-link": { what: "a link that names another digest than its path does", todo: PUSH_LINK },
  "missing-current-link": { what: "a tag of which nothing tells what it names", todo: PUSH_AGAIN },
  "misplaced-file": {
    what: "a file where a directory of the repository should be",
    todo: "Find out what the directory held; take the file away, or push the images again.",
  },
  "dangling-tag": { what: "a tag that names no manifest of its repository", todo: PUSH_AGAIN },
  "missing-manifest": { what: "a manifest that is linked, and not there", todo: PUSH_MANIFEST },
  "digest-mismatch": { what: "bytes that are not what their digest says", todo: PUSH_MANIFEST },
  "not-json": { what: "a manifest that is no JSON", todo: PUSH_MANIFEST },
  "too-large": { what: "a manifest of more than 4 MiB", todo: PUSH_MANIFEST },
};

const OTHER_PROBLEMS: Readonly<Record<string, KindWords>> = {
  "hook-failed": {
    what: "onDeleted threw three times",
    todo: "Everything went as planned, but a cache may not know: empty it, or restart the registry.",
  },
  "damaged-journal": {
    what: "the journal of a run can't be read",
    todo: "Nothing of any run is purged while it lies there. restore({ runId }) brings back what that run put aside, but for layer links; then remove the journal, a directory at the path above.",
  },
};

/** What a kind of problem is, and what to do. Kinds of later versions have nothing to be said about. */
export function kindWords(kind: string): KindWords | undefined {
  if (Object.hasOwn(DAMAGE, kind)) return DAMAGE[kind as DamageKind];
  return Object.hasOwn(OTHER_PROBLEMS, kind) ? OTHER_PROBLEMS[kind] : undefined;
}

/** The heading for what was found wrong. */
export function problemsTitle({ problems }: GcReport): string {
  const others = problems.filter(({ kind }) => Object.hasOwn(OTHER_PROBLEMS, kind)).length;
  if (others === 0) return "Damage";
  return others === problems.length ? "Problems" : "Damage and problems";
}

/** What damage means for the run. */
export function problemsHint({ problems, status }: GcReport): string | undefined {
  if (problems.every(({ kind }) => Object.hasOwn(OTHER_PROBLEMS, kind))) return undefined;
  const rest = status === "completed" || status === "completed-with-failures" ? ", and the rest of the registry is collected" : "";
  return `Whatever a damaged repository links is kept${rest}.`;
}

/** A word of ours where there is one; else the report's own, made safe. */
export function wordFor(words: Readonly<Record<string, string>>, key: string): string {
  return Object.hasOwn(words, key) ? (words[key] ?? printable(key)) : printable(key);
}

/** The words for a reason, those of later versions included. */
export function reasonWords(reason: string): ReasonWords {
  return Object.hasOwn(REASONS, reason) ? REASONS[reason as Reason] : { what: "things", why: printable(reason) };
}
