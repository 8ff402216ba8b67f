/** A look at the whole registry, made in parts: surveyed, dealt out, marked, joined, and settled until nothing changes any more. */

import { DamagedRegistryError } from "../errors.js";
import type { JoinInput, JoinResult } from "./join.js";
import type { Lead } from "./lead.js";
import { piecesOf } from "./partRun.js";

/** A look that is settled: where it lies, and what it comes to. */
export interface Look {
  readonly name: string;
  /** The stages that left the looks, and the last join. */
  readonly looks: string;
  readonly join: string;
  /** Where the questions are, for later joins. */
  readonly questions: string;
  readonly aside: string | undefined;
  readonly groups: Groups;
  /** Repositories that the survey named, and that were gone when they were to be looked at. */
  readonly unseen: readonly string[];
  readonly sharesDirectories: boolean;
  readonly counts: { readonly repositories: number; readonly tags: number; readonly revisions: number };
  /** Revisions that nothing keeps. */
  readonly doomed: number;
  readonly sums: JoinResult;
}

/** A plan that is made from it: where it lies, and whether it names anything. */
export interface PartedPlan {
  readonly look: Look;
  readonly plans: string;
  readonly isSomething: boolean;
}

/** The names of repositories, by group. */
export type Groups = readonly (readonly string[])[];

export interface Looking {
  readonly name: string;
  readonly aside: string | undefined;
  /** What this look is measured by. */
  readonly earlier: Look | undefined;
  readonly states: readonly string[];
  readonly candidates: JoinInput["candidates"];
}

/** Surveys are parts, too; so many roots each make one. */
const SURVEYS = 16;
/** A group is no more than this share of all that is to be looked at, unless one repository is. */
const GROUPS = 40;
const REVISIONS_A_GROUP = 20_000;

export async function lookInParts(lead: Lead, { name, aside, earlier, states, candidates }: Looking): Promise<Look> {
  const { run, plan } = lead;
  const { shards } = plan;
  const countsStrays = run.looks++ === 0;
  const surveyed = await survey(lead, name, countsStrays);
  const groups = dealOut(surveyed.found, earlier?.groups ?? []);

  const marking = `${name}.mark`;
  const input = { shards, aside, earlier: earlier?.looks, countsStrays };
  const marked = await lead.stage(marking, "mark", groups.length, input, (part) => groups[part] ?? []);
  // The look goes on: what other repositories need is known only then. The run is refused once that has gone back.
  for (const { unknowable } of marked) if (unknowable !== undefined) run.unknowable ??= new DamagedRegistryError(unknowable);
  const sharesDirectories =
    earlier?.sharesDirectories === true || surveyed.sharesDirectories || marked.some((each) => each.sharesDirectories);

  let join = `${name}.join`;
  const joining = { questions: marking, aside };
  let sums = await lead.stage(join, "join", shards, { ...joining, states, marks: [marking], candidates });
  let looks = marking;
  let doomed = sum(marked, (each) => each.doomed);
  const settles = !run.settings.readOnly || sharesDirectories;
  for (let round = 1; settles; round++) {
    const settling = `${name}.settle${round}`;
    const settled = await lead.stage(settling, "settle", groups.length, { shards, aside, looks, join, sharesDirectories });
    looks = settling;
    doomed = sum(settled, (each) => each.doomed);
    if (sum(settled, (each) => each.marks) === 0) break;
    const before = join;
    join = `${name}.join${round}`;
    const left = candidates === "present" ? "doomed" : candidates;
    sums = await lead.stage(join, "join", shards, { ...joining, states: [before], marks: [settling], candidates: left });
  }
  return {
    name,
    looks,
    join,
    questions: marking,
    aside,
    groups,
    unseen: marked.flatMap((each) => each.unseen),
    sharesDirectories,
    counts: {
      repositories: sum(marked, (each) => each.repositories),
      tags: sum(marked, (each) => each.tags),
      revisions: sum(marked, (each) => each.revisions),
    },
    doomed,
    sums: addUp(sums),
  };
}

/** Every repository, and about how many revisions it has. */
async function survey(
  lead: Lead,
  name: string,
  countsStrays: boolean,
): Promise<{ readonly found: ReadonlyMap<string, number>; readonly sharesDirectories: boolean }> {
  const { run, store } = lead;
  const { roots, strays } = await lead.once(`${name}.roots`, async () => {
    const found = { roots: [] as readonly string[], strays: 0 };
    found.roots = await piecesOf(run).surveyRoots({ ...run.look, onUnrecognized: () => found.strays++ });
    return found;
  });
  if (countsStrays) run.ledger.unrecognized += strays;
  const parts = Math.max(1, Math.min(SURVEYS, roots.length));
  const surveying = `${name}.survey`;
  const input = { countsStrays };
  const surveyed = await lead.stage(surveying, "survey", parts, input, (part) => roots.filter((_, i) => i % parts === part));
  const found = new Map<string, number>();
  for (const { lists } of await store.outputs(surveying)) {
    for await (const item of store.items(lists["repositories"] ?? [])) {
      const [repository, revisions] = item as [string, number];
      found.set(repository, revisions);
    }
  }
  return { found, sharesDirectories: surveyed.some((each) => each.sharesDirectories) };
}

/** Deals repositories out. Those of an earlier look keep their group, since it is there that they are remembered. */
export function dealOut(found: ReadonlyMap<string, number>, earlier: Groups): Groups {
  const groups = earlier.map((names) => names.filter((name) => found.has(name)));
  const known = new Set(groups.flat());
  const weigh = (revisions: number) => revisions + 1;
  const fresh = [...found].filter(([name]) => !known.has(name)).sort(([a], [b]) => (a < b ? -1 : 1));
  const total = sum(fresh, ([, revisions]) => weigh(revisions));
  const limit = Math.min(REVISIONS_A_GROUP, Math.ceil(total / GROUPS));
  let weight = Number.POSITIVE_INFINITY;
  for (const [name, revisions] of fresh) {
    weight += weigh(revisions);
    if (weight > limit) {
      groups.push([]);
      weight = weigh(revisions);
    }
    groups.at(-1)?.push(name);
  }
  return groups;
}

/** Brings back what lies aside and is needed; answers with what lies aside then. */
export async function putBackInParts(lead: Lead, look: Look): Promise<string | undefined> {
  const { aside } = look;
  if (aside === undefined || lead.run.settings.dryRun) return aside;
  const listing = await lead.asideOf(aside);
  if (listing.journals.length === 0) return aside;
  const { shards } = lead.plan;
  await lead.stage(`${look.name}.putBack`, "putBack", shards, { shards, aside, join: look.join });
  await lead.stage(`${look.name}.putBackLinks`, "putBackLinks", look.groups.length, { aside, looks: look.looks });
  return lead.listAside(`${look.name}.aside`);
}

function addUp(all: readonly JoinResult[]): JoinResult {
  return {
    present: sum(all, ({ present }) => present),
    live: sum(all, ({ live }) => live),
    young: sum(all, ({ young }) => young),
    protected: sum(all, (each) => each.protected),
    blobs: sum(all, ({ blobs }) => blobs),
    bytes: sum(all, ({ bytes }) => bytes),
  };
}

export function sum<T>(items: readonly T[], number: (item: T) => number): number {
  return items.reduce((total, item) => total + number(item), 0);
}
