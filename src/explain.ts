import { inquire } from "./conduct.js";
import type { GcContext } from "./context.js";
import { isDigest } from "./digest.js";
import type { StorageDriver } from "./driver.js";
import { InvalidDigestError } from "./errors.js";
import { refuseUnknowable } from "./guards.js";
import { takeInventory } from "./inventory.js";
import { lookAtRegistry } from "./look.js";
import { ASIDE, PRESENT, PROTECTED } from "./marks.js";
import type { Namespace } from "./namespace.js";
import { beginSession } from "./online/session.js";
import type { GcOptions, Reason } from "./options.js";
import { makePlan, type Plan } from "./plan.js";
import type { RepositoryLook } from "./repositoryLook.js";
import { Run } from "./run.js";
import { checkOptions } from "./settings.js";
import type { RootReason, Watch, WatchedLook } from "./watch.js";

/** One step from what keeps a digest down to it; or what would take it away. */
export interface ExplanationStep {
  /**
   * Where keeping begins: a tag, a revision (without `removeUntagged` each is kept), the caller's `keep`, something young, damage, or that
   * the manifest is alive elsewhere. What leads on: `named` by the step before, or a `referrer` of it. What would take it away: the
   * words of `onItem`. Or that it lies `aside`.
   */
  readonly why: RootReason | Reason | "named" | "referrer" | "aside";
  readonly repository?: string | undefined;
  readonly tag?: string | undefined;
  readonly digest: string;
  /** The same in a sentence. */
  readonly message: string;
}

export interface Explanation {
  readonly digest: string;
  /** `aside`: it lies in the quarantine of a run; `because` then says what will bring it back, or whose it is. */
  readonly verdict: "kept" | "eligible" | "aside" | "absent";
  /** From a root to the digest, or what would take it away. Empty where it is absent and nothing names it. */
  readonly because: readonly ExplanationStep[];
}

/**
 * Tells why a blob or manifest is kept, or what would take it away, by a look at the whole registry. Reads only, and takes no lock.
 *
 * @param options - Those of the run that is asked about: what is kept depends on them.
 * @throws InvalidDigestError where `digest` is none; otherwise as `markAndSweep` does.
 */
export async function explain(
  ctx: GcContext,
  driver: StorageDriver,
  registry: Namespace,
  digest: string,
  options: GcOptions = {},
): Promise<Explanation> {
  if (!isDigest(digest)) throw new InvalidDigestError(digest);
  const run = Run.begin(ctx, driver, registry, { ...checkOptions(options), dryRun: true });
  return inquire(run, "explain", async () => {
    const number = run.digests.add(digest);
    const watch = new WayWatch(number);
    run.watched = watch;
    await beginSession(run);
    await takeInventory(run);
    const found = await lookAtRegistry(run, "mark");
    refuseUnknowable(run);
    const plan = await makePlan(run, found.looks);
    return { digest, ...(await judge(run, { number, watch, plan, looks: found.looks })) };
  });
}

/** A way from a root to the digest that is asked about. */
interface Way {
  readonly look: WatchedLook;
  readonly why: RootReason;
  readonly way: readonly number[];
}

/** Keeps the best of the ways that looks find: by a tag rather than another, and short rather than long. */
class WayWatch implements Watch {
  best: Way | undefined;
  damaged: WatchedLook | undefined;
  /** The digest under which the blob is stored, where it is another one. */
  stored: number | undefined;

  constructor(private readonly number: number) {}

  take(look: WatchedLook): void {
    this.stored ??= look.storedAs(this.number);
    const found = look.wayTo(this.number);
    if (found !== undefined && (this.best === undefined || costOf(found) < costOf(this.best))) this.best = { look, ...found };
    if (look.protects(this.number)) this.damaged ??= look;
  }
}

function costOf({ why, way }: Pick<Way, "why" | "way">): number {
  return (why === "tag" ? 0 : 1_000_000) + way.length;
}

interface Findings {
  readonly number: number;
  readonly watch: WayWatch;
  readonly plan: Plan;
  readonly looks: readonly RepositoryLook[];
}

async function judge(run: Run, findings: Findings): Promise<Pick<Explanation, "verdict" | "because">> {
  const { watch, plan } = findings;
  const number = run.marks.has(findings.number, PRESENT) ? findings.number : (watch.stored ?? findings.number);
  const way = watch.best === undefined ? [] : await stepsOf(run, watch.best);
  if (!(await isInPlace(run, number))) {
    if (!run.marks.has(number, ASIDE)) return { verdict: "absent", because: way };
    return { verdict: "aside", because: way.length > 0 ? way : asideSteps(run, number) };
  }
  if (way.length > 0) return { verdict: "kept", because: way };
  if (plan.blobs.includes(number)) return { verdict: "eligible", because: eligibleSteps(run, findings) };
  return { verdict: "kept", because: [otherReason(run, { ...findings, number })] };
}

/** A directory may be all that is left of a blob: so it is looked at. */
async function isInPlace(run: Run, number: number): Promise<boolean> {
  if (!run.marks.has(number, PRESENT) || run.registry.lookAtBlob === undefined) return run.marks.has(number, PRESENT);
  return (await run.registry.lookAtBlob(run.digests.digest(number), run.look)) !== undefined;
}

async function stepsOf(run: Run, { look, why, way }: Way): Promise<ExplanationStep[]> {
  const repository = look.repository.name;
  const digests = way.map((number) => run.digests.digest(number));
  const [root = ""] = digests;
  const tag = why === "tag" ? await tagOf(run, look, root) : undefined;
  const steps: ExplanationStep[] = [{ why, repository, tag, digest: root, message: ROOTS[why](root, repository, tag) }];
  for (let i = 1; i < way.length; i++) {
    const [parent = "", digest = ""] = [digests[i - 1], digests[i]];
    const isReferrer = look.referrersOf(way[i - 1] ?? -1).includes(way[i] ?? -1);
    const isSignature = look.signaturesOf(way[i - 1] ?? -1).some((signature) => signature.digest === digest);
    const named = isSignature ? `${digest} is a signature of the manifest ${parent}` : `the manifest ${parent} names ${digest}`;
    const message = isReferrer ? `${digest} is about ${parent}, its subject` : named;
    steps.push({ why: isReferrer ? "referrer" : "named", repository, digest, message });
  }
  return steps;
}

const ROOTS: Readonly<Record<RootReason, (digest: string, repository: string, tag?: string) => string>> = {
  tag: (digest, repository, tag) => `the tag ${tag ?? ""} of ${repository} names ${digest}`,
  revision: (digest, repository) => `${repository} has the manifest ${digest}, and without removeUntagged every manifest is kept`,
  keep: (digest, repository) => `the option keep keeps ${digest} in ${repository}`,
  young: (digest, repository) =>
    `${repository} got the manifest ${digest} within gracePeriodMs, or it was pushed again or restored since a run took it`,
  damage: (digest, repository) => `${repository} is damaged, so that all its manifests are kept, ${digest} too`,
  "alive-elsewhere": (digest, repository) => `${digest} is alive in another repository, so its link in ${repository} stays`,
};

async function tagOf(run: Run, look: WatchedLook, digest: string): Promise<string | undefined> {
  for await (const page of look.repository.tags(run.look)) {
    const found = page.find((tag) => tag.digest === digest);
    if (found !== undefined) return found.name;
  }
  return undefined;
}

/** The words of `onItem` for all that would go with it. */
function eligibleSteps(run: Run, { number, plan }: Findings): ExplanationStep[] {
  const digest = run.digests.digest(number);
  const steps: ExplanationStep[] = [];
  for (const { look, manifests, layerLinks } of plan.repositories) {
    const repository = look.repository.name;
    if (manifests.includes(number)) {
      steps.push({ why: "untagged", repository, digest, message: `no tag of ${repository} keeps the manifest ${digest}` });
    }
    if (layerLinks.includes(number)) {
      steps.push({ why: "layer-not-reached", repository, digest, message: `no manifest that ${repository} keeps names ${digest}` });
    }
  }
  return [...steps, { why: "unreachable", digest, message: `nothing that is kept reaches ${digest}` }];
}

function asideSteps(run: Run, number: number): ExplanationStep[] {
  const digest = run.digests.digest(number);
  return (run.aside?.copies.get(number) ?? []).map(({ runId }) => ({
    why: "aside",
    digest,
    message: `run ${runId} put it aside, and nothing needs it; restore() brings it back`,
  }));
}

/** What no manifest leads to, and stays: by a link in a damaged repository, or because it, or a link to it, is young. */
function otherReason(run: Run, { number, watch, looks }: Findings): ExplanationStep {
  const digest = run.digests.digest(number);
  const damaged = watch.damaged?.repository.name;
  if (run.marks.has(number, PROTECTED) && damaged !== undefined) {
    return { why: "damage", repository: damaged, digest, message: `${damaged} is damaged, so that all that it links is kept` };
  }
  const lease = looks.find((look) => [...look.loose].some(([layer, { blob }]) => blob === number && look.loose.isLease(layer)))?.repository
    .name;
  const message =
    lease === undefined
      ? `${digest} is younger than gracePeriodMs, or was restored lately`
      : `${lease} has a layer link to ${digest} that is younger than gracePeriodMs: a push may be under way`;
  return { why: "young", repository: lease, digest, message };
}
