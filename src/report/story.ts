/** What a run did, in sentences: for the terminal and for the page alike. */

import type { GcReport, SweepCounts } from "../index.js";
import { count, duration, size } from "./numbers.js";
import { printable } from "./printable.js";

/** How a sentence is to be taken. */
export type Tone = "plain" | "good" | "note" | "warning" | "bad";

export interface Sentence {
  readonly tone: Tone;
  readonly text: string;
}

/** How the way that a run ended is to be taken. */
export function statusTone(status: string): Tone {
  if (status === "completed") return "good";
  return status === "completed-with-failures" ? "warning" : "bad";
}

/** `7 blobs (1.8 MiB), 1 manifest`; nothing where nothing is counted. */
export function listCounts(counts: Partial<SweepCounts>): string {
  const { blobs = 0, bytes = 0, manifests = 0, layerLinks = 0, tagIndexEntries = 0, uploads = 0, repositories = 0 } = counts;
  return [
    blobs > 0 && `${count(blobs, "blob")} (${size(bytes)})`,
    manifests > 0 && count(manifests, "manifest"),
    layerLinks > 0 && count(layerLinks, "layer link"),
    tagIndexEntries > 0 && count(tagIndexEntries, "tag index entry", "tag index entries"),
    uploads > 0 && count(uploads, "upload"),
    repositories > 0 && count(repositories, "repository", "repositories"),
  ]
    .filter((part) => part !== false)
    .join(", ");
}

/** The run in one line. */
export function headline(report: GcReport): string {
  const { marked, durationsMs, status } = report;
  const isWhole = status === "completed" || status === "completed-with-failures";
  return `${outcome(report)}${isWhole ? ";" : "."} ${count(marked.blobs, "blob")} in use; ${duration(durationsMs.total)}.`;
}

function outcome(report: GcReport): string {
  const { dryRun, status, eligible, deleted, quarantined, purged } = report;
  if (dryRun && status === "completed") return wouldDo(report);
  const isWhole = status === "completed" || status === "completed-with-failures";
  const went = listCounts(deleted);
  const parts = [
    went !== "" && `${isWhole ? "deleted" : "deleted by then:"} ${went}`,
    quarantined.blobs > 0 && `put aside ${listCounts({ blobs: quarantined.blobs, bytes: quarantined.bytes })}`,
    purged.blobs > 0 && `purged ${listCounts({ blobs: purged.blobs, bytes: purged.bytes })} of earlier runs`,
  ].filter((part) => part !== false);
  if (parts.length > 0) return capital(parts.join("; "));
  if (!isWhole) return "Nothing was deleted";
  return listCounts(eligible) === "" ? "Nothing to delete" : "Nothing of the plan was deleted";
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

/** An online run puts data aside, and deletes at once what is no data. */
function wouldDo({ eligible, safety }: GcReport): string {
  const all = listCounts(eligible);
  if (all === "") return "Nothing to delete";
  const { blobs, bytes, manifests, layerLinks, uploads, repositories } = eligible;
  if (safety !== "quarantine" || blobs === 0) return `Would delete ${all}`;
  const atOnce = listCounts({ layerLinks, uploads, repositories });
  return `Would put aside ${listCounts({ blobs, bytes, manifests })}${atOnce === "" ? "" : `, and delete ${atOnce}`}`;
}

/** All that there is to say beside the headline: what became of things, why, and what to do. */
export function story(report: GcReport): readonly Sentence[] {
  return [...ending(report), ...aside(report), ...kept(report), ...trouble(report), ...remarks(report), ...closing(report)];
}

function remarks({ remarks = [] }: GcReport): readonly Sentence[] {
  return remarks.map(printable).map((remark) => ({ tone: "note", text: `${remark.charAt(0).toUpperCase()}${remark.slice(1)}.` }));
}

function ending({ status, eligible }: GcReport): readonly Sentence[] {
  const planned = listCounts(eligible);
  const plan = planned === "" ? "" : ` The plan had named ${planned}.`;
  if (status === "refused")
    return [{ tone: "bad", text: `The run was refused: the error that it ended with says why, and which option to change.${plan}` }];
  if (status === "aborted") {
    const text = `The run broke off before its end: the error that it ended with says why. Whatever it did not reach is as before, and the next run takes it up.${plan}`;
    return [{ tone: "bad", text }];
  }
  return [];
}

function aside({ dryRun, safety, eligible, quarantined, restored, returned, purged }: GcReport): readonly Sentence[] {
  const sentences: Sentence[] = [];
  const say = (tone: Tone, text: string) => sentences.push({ tone, text });
  if (quarantined.blobs > 0)
    say(
      "note",
      `Put aside ${count(quarantined.blobs, "blob")} (${size(quarantined.bytes)}): nothing of it is freed before a later run purges it, by default after 7 days (quarantineMs); purge() with a shorter quarantineMs does it earlier. listRuns() shows what lies aside and until when, restore() brings it back. A registry with a descriptor cache must be restarted, or its cache emptied, before the purge.`,
    );
  if (dryRun && safety === "quarantine" && eligible.blobs > 0)
    say(
      "note",
      "A real run would put these blobs aside first: their space is freed by a later run, by default after 7 days (quarantineMs).",
    );
  if (restored.blobs > 0)
    say("plain", `Put back at once, since something came to need it: ${count(restored.blobs, "blob")} (${size(restored.bytes)}).`);
  if (returned.blobs > 0)
    say("plain", `Brought back, since something needs it: ${count(returned.blobs, "blob")} (${size(returned.bytes)}) of earlier runs.`);
  const gone = listCounts(purged);
  if (gone !== "") say("good", `Purged of earlier runs: ${gone}. Their space is free.`);
  return sentences;
}

function kept({ kept, unrecognized }: GcReport): readonly Sentence[] {
  const sentences: Sentence[] = [];
  const say = (tone: Tone, text: string) => sentences.push({ tone, text });
  if (kept.young > 0)
    say(
      "note",
      `Kept because of the grace period: ${count(kept.young, "blob")} that nothing needs. They go once they are older than gracePeriodMs (by default a day), and those that were pushed again since a run took them once that run is purged; readOnly takes them now, if nothing writes to the registry.`,
    );
  if (kept.protected > 0)
    say(
      "warning",
      `Kept because their repository is damaged: ${count(kept.protected, "blob")}. Repair what is listed under damage, then collect again.`,
    );
  if (unrecognized > 0)
    say("plain", `Left alone, since no registry wrote it: ${count(unrecognized, "file or directory", "files or directories")}.`);
  return sentences;
}

function trouble({ failureCount, status }: GcReport): readonly Sentence[] {
  if (failureCount === 0 && status !== "completed-with-failures") return [];
  const text = `${count(failureCount, "thing")} could not be deleted. What is still there harms nothing: remove the cause that is listed under failures, and the next run takes it.`;
  return [{ tone: "bad", text }];
}

function closing({ dryRun }: GcReport): readonly Sentence[] {
  return dryRun ? [{ tone: "good", text: "Nothing was changed: this was a dry run." }] : [];
}
