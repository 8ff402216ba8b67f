/** Clients and collectors on one storage, interleaved at every call; and what must hold at the end. */

import { type GcOptions, markAndSweep, openRegistry, type StorageDriver } from "oci-registry-gc";
import { MemoryDriver } from "oci-registry-gc/drivers/memory";
import { DAY } from "../../support/stores.js";
import { digestOf } from "../../support/world.js";
import { gated, isBetweenParts } from "./gatedDriver.js";
import { type Image, manifestOf, RegistryHandlers } from "./registry.js";
import { Scheduler } from "./scheduler.js";

export const REPOSITORIES = ["a", "b"] as const;
export const TAGS = ["t", "u"] as const;

const image = (name: string, ...layers: string[]): Image => ({ name, layers: ["config", ...layers], children: [] });
const [one, two, three] = [image("one", "x", "y"), image("two", "x"), image("three", "y", "z")];
/** Images that share layers, and indexes that share images. */
export const IMAGES: readonly Image[] = [one, two, three, { name: "index", layers: [], children: [one, two] }];

/** What a client does, one after the other. */
export type Action =
  | {
      readonly kind: "push";
      readonly repository: string;
      readonly image: number;
      readonly tag?: string | undefined;
      readonly mounts: boolean;
    }
  | { readonly kind: "deleteManifest"; readonly repository: string; readonly image: number }
  | { readonly kind: "deleteTag"; readonly repository: string; readonly tag: string }
  | { readonly kind: "upload"; readonly repository: string; readonly layer: string };

/** What is on the storage before anyone begins. */
export interface Old {
  readonly repository: string;
  readonly image: number;
  readonly tag?: string | undefined;
}

function isTagKey(key: string): boolean {
  return TAGS.some((tag) => key.endsWith(` ${tag}`));
}

/** What clients were told, so far as it is certain. */
class Promises {
  /** "repository image": whether the manifest must be there, must not, or can't be told. */
  private readonly manifests = new Map<string, "there" | "gone" | "unknown">();
  private readonly tags = new Map<string, number | "gone" | "unknown">();
  private readonly requests: {
    readonly keys: readonly string[];
    readonly verb: "put" | "delete";
    isOver: boolean;
    overlapped: Set<string>;
  }[] = [];

  /** Of what two requests at once may disagree on, nothing can be told: `isContested` answers for each key, when the request is over. */
  async about<T>(keys: readonly string[], verb: "put" | "delete", work: (isContested: (key: string) => boolean) => Promise<T>): Promise<T> {
    const request = { keys, verb, isOver: false, overlapped: new Set<string>() };
    for (const other of this.requests) {
      if (other.isOver) continue;
      for (const key of keys) {
        // Two puts of one manifest agree; of one tag they need not.
        if (!other.keys.includes(key) || (verb === "put" && other.verb === "put" && !isTagKey(key))) continue;
        request.overlapped.add(key);
        other.overlapped.add(key);
      }
    }
    this.requests.push(request);
    try {
      return await work((key) => request.overlapped.has(key));
    } finally {
      request.isOver = true;
    }
  }

  /** Whether a tag names an image, so far as is certain. */
  names(tagKey: string, image: number): boolean {
    return this.tags.get(tagKey) === image;
  }

  manifest(key: string, state: "there" | "gone", contested: boolean): void {
    this.manifests.set(key, contested ? "unknown" : state);
  }

  tag(key: string, state: number | "gone", contested: boolean): void {
    this.tags.set(key, contested ? "unknown" : state);
  }

  /** What is untagged is garbage once it is no longer young. */
  forgetUntagged(): void {
    for (const [key, state] of this.manifests) {
      const [repository = "", number] = key.split(" ");
      const tagged = TAGS.some((tag) => this.tags.get(`${repository} ${tag}`) === Number(number));
      if (state === "there" && !tagged) this.manifests.delete(key);
    }
  }

  /** What is promised and does not hold. */
  async broken(handlers: RegistryHandlers, isRewritten: (repository: string, promised: Image) => boolean): Promise<string[]> {
    return [...(await this.brokenManifests(handlers, isRewritten)), ...(await this.brokenTags(handlers))];
  }

  private async brokenManifests(
    handlers: RegistryHandlers,
    isRewritten: (repository: string, promised: Image) => boolean,
  ): Promise<string[]> {
    const broken: string[] = [];
    for (const [key, state] of this.manifests) {
      const [repository = "", number] = key.split(" ");
      const promised = IMAGES[Number(number)]!;
      if (state === "there") {
        const missing = await this.pull(handlers, repository, promised);
        if (missing !== undefined) broken.push(`${promised.name} in ${repository}: ${missing}`);
      }
      const isBack = state === "gone" && (await handlers.hasRevision(repository, promised));
      if (isBack && !isRewritten(repository, promised)) broken.push(`${promised.name} in ${repository} was deleted, and is there`);
    }
    return broken;
  }

  private async brokenTags(handlers: RegistryHandlers): Promise<string[]> {
    const broken: string[] = [];
    for (const [key, state] of this.tags) {
      const [repository = "", tag = ""] = key.split(" ");
      const current = await handlers.currentOf(repository, tag);
      if (state === "gone" && current !== undefined) broken.push(`the tag ${tag} in ${repository} was deleted, and is there`);
      if (typeof state !== "number") continue;
      const promised = IMAGES[state]!;
      if (current !== digestOf(manifestOf(promised))) broken.push(`the tag ${tag} in ${repository} does not name ${promised.name}`);
      const missing = await this.pull(handlers, repository, promised);
      if (missing !== undefined) broken.push(`${promised.name} as ${repository}:${tag}: ${missing}`);
    }
    return broken;
  }

  /** What a pull lacks; children that a client deleted are not asked for. */
  private pull(handlers: RegistryHandlers, repository: string, promised: Image): Promise<string | undefined> {
    const isDeleted = (child: Image) => (this.manifests.get(`${repository} ${IMAGES.indexOf(child)}`) ?? "there") !== "there";
    return handlers.pull(repository, promised, isDeleted);
  }
}

/** What a collector does. */
export type Command = typeof markAndSweep;

export interface Fault {
  /** After so many calls of the collector. */
  readonly after: number;
  readonly kind: "crash" | "abort" | "pause";
}

export class Simulation {
  readonly scheduler: Scheduler;
  readonly store: MemoryDriver;
  readonly promises = new Promises();
  /** The registry's handlers, asked at once: for what must hold. */
  readonly check: RegistryHandlers;
  readonly cache: Set<string> | undefined;
  /** What the collector called, with the step. */
  readonly calls: { readonly actor: string; readonly step: number; readonly method: string; readonly path: string }[] = [];
  /** When manifests were acknowledged: "repository image" -> step. */
  readonly acknowledged = new Map<string, number>();
  private readonly requests = new Set<object>();

  constructor(
    pick: (actors: readonly string[]) => number,
    private readonly options: GcOptions,
    private readonly settings: { readonly cached?: boolean; readonly collect?: Command } = {},
  ) {
    this.scheduler = new Scheduler(pick);
    this.store = new MemoryDriver({ now: () => this.scheduler.now });
    this.check = new RegistryHandlers(this.store);
    this.cache = settings.cached === true ? new Set() : undefined;
  }

  /** Lays out what was pushed long ago. */
  async lay(old: readonly Old[]): Promise<void> {
    const { now } = this.scheduler;
    this.scheduler.now -= 30 * DAY;
    for (const { repository, image: number, tag } of old) {
      const pushed = IMAGES[number]!;
      for (const each of [...pushed.children, pushed]) {
        for (const layer of each.layers) await this.check.upload(repository, layer);
        await this.check.putManifest(repository, each, each === pushed ? tag : undefined);
      }
      if (tag !== undefined) this.promises.tag(`${repository} ${tag}`, number, false);
    }
    this.scheduler.now = now;
  }

  /** One client, doing one thing after the other. */
  client(name: string, actions: readonly Action[]): () => Promise<void> {
    const handlers = new RegistryHandlers(gated(this.store, { scheduler: this.scheduler, actor: name }), this.cache);
    return async () => {
      for (const action of actions) await this.act(handlers, action);
    };
  }

  private async act(handlers: RegistryHandlers, action: Action): Promise<void> {
    if (action.kind === "push") return this.push(handlers, action);
    if (action.kind === "upload") return this.request(() => handlers.upload(action.repository, action.layer));
    if (action.kind === "deleteTag") {
      const key = `${action.repository} ${action.tag}`;
      return this.promises.about([key], "delete", async (isContested) => {
        this.promises.tag(key, "gone", true);
        await this.request(() => handlers.deleteTag(action.repository, action.tag));
        this.promises.tag(key, "gone", isContested(key));
      });
    }
    const key = `${action.repository} ${action.image}`;
    const tagKeys = TAGS.map((tag) => `${action.repository} ${tag}`);
    return this.promises.about([key, ...tagKeys], "delete", async (isContested) => {
      this.promises.manifest(key, "gone", true);
      const naming = tagKeys.filter((tagKey) => this.promises.names(tagKey, action.image));
      for (const tagKey of naming) this.promises.tag(tagKey, "gone", true);
      await this.request(() => handlers.deleteManifest(action.repository, IMAGES[action.image]!));
      this.promises.manifest(key, "gone", isContested(key));
      for (const tagKey of naming) this.promises.tag(tagKey, "gone", isContested(tagKey));
      for (const tagKey of tagKeys) if (this.promises.names(tagKey, action.image)) this.promises.tag(tagKey, "gone", true);
    });
  }

  /** As clients push: what is there is not uploaded; what was refused is pushed again. */
  private async push(
    handlers: RegistryHandlers,
    { repository, image: number, tag, mounts }: Extract<Action, { kind: "push" }>,
  ): Promise<void> {
    const pushed = IMAGES[number]!;
    for (let attempt = 1; attempt <= 3; attempt++) {
      for (const child of pushed.children) {
        await this.pushLayers(handlers, repository, child, mounts);
        await this.putManifest(handlers, repository, child, undefined);
      }
      await this.pushLayers(handlers, repository, pushed, mounts);
      if (await this.putManifest(handlers, repository, pushed, tag)) return;
    }
  }

  private async pushLayers(handlers: RegistryHandlers, repository: string, pushed: Image, mounts: boolean): Promise<void> {
    for (const layer of pushed.layers) {
      if (await this.request(() => handlers.headBlob(repository, layer))) continue;
      const other = repository === "a" ? "b" : "a";
      if (mounts && (await this.request(() => handlers.mount(other, repository, layer)))) continue;
      await this.request(() => handlers.upload(repository, layer));
    }
  }

  private putManifest(handlers: RegistryHandlers, repository: string, pushed: Image, tag: string | undefined): Promise<boolean> {
    const number = IMAGES.indexOf(pushed);
    const key = `${repository} ${number}`;
    const tagKey = tag === undefined ? [] : [`${repository} ${tag}`];
    return this.promises.about([key, ...tagKey], "put", async (isContested) => {
      for (const each of tagKey) this.promises.tag(each, number, true);
      const accepted = await this.request(() => handlers.putManifest(repository, pushed, tag));
      if (!accepted) return false;
      this.promises.manifest(key, "there", isContested(key));
      for (const each of tagKey) this.promises.tag(each, number, isContested(each) || isContested(key));
      this.acknowledged.set(key, this.scheduler.steps);
      return true;
    });
  }

  /** A request ends after a while: the drain outlives those that began before it. */
  private async request<T>(work: () => Promise<T>): Promise<T> {
    const request = {};
    this.requests.add(request);
    try {
      return await work();
    } finally {
      this.requests.delete(request);
    }
  }

  private clock(actor: string) {
    return {
      now: () => this.scheduler.now,
      sleep: (ms: number, signal?: AbortSignal) => {
        const before = [...this.requests];
        return this.scheduler.sleep(actor, ms, () => !before.some((request) => this.requests.has(request)), signal);
      },
    };
  }

  /** A collector; a fault makes it die, be aborted, or sleep for ten minutes before a call. */
  async collect(name: string, options: GcOptions = {}, fault?: Fault, command = this.settings.collect ?? markAndSweep): Promise<unknown> {
    const controller = new AbortController();
    let calls = 0;
    let die: (() => void) | undefined;
    const death = new Promise<string>((resolve) => {
      die = () => resolve("died");
    });
    let isDead = false;
    const inner = gated(this.store, {
      scheduler: this.scheduler,
      actor: name,
      before: async (method, path) => {
        // Whoever died never hears of anything again.
        if (isDead) await new Promise(() => undefined);
        this.calls.push({ actor: name, step: this.scheduler.steps, method, path });
      },
    });
    const driver = this.faulty(inner, async () => {
      if (++calls !== fault?.after) return;
      if (fault.kind === "abort") controller.abort(new Error("abort"));
      if (fault.kind === "pause") await this.scheduler.sleep(name, 600_000, () => true);
      if (fault.kind !== "crash") return;
      isDead = true;
      die?.();
    });
    const ctx = { clock: this.clock(name), signal: controller.signal };
    const all = { concurrency: 2, maxParallelManifestGets: 2, drainMs: 20_000, ...this.options, ...options };
    const run = command(ctx, driver, openRegistry(driver), all).catch((error: unknown) => error);
    return Promise.race([run, death]);
  }

  private faulty(driver: StorageDriver, before: () => Promise<void>): StorageDriver {
    return new Proxy(driver, {
      get(target, member) {
        const value: unknown = Reflect.get(target, member);
        if (typeof value !== "function" || member === "list") return value;
        return async (...parameters: unknown[]) => {
          await before();
          return Reflect.apply(value, target, parameters) as unknown;
        };
      },
    });
  }

  /** What is promised and does not hold. */
  broken(): Promise<string[]> {
    return this.promises.broken(this.check, (repository, { name }) => this.isRewritten(repository, name));
  }

  /**
   * A purge that removed a revision link and then finds the manifest's data writes the link anew: that a client deleted it in between
   * can't be told apart from a push. It is the only thing that was deleted and may be there.
   */
  private isRewritten(repository: string, name: string): boolean {
    const promised = IMAGES.find((each) => each.name === name)!;
    const link = `/repositories/${repository}/_manifests/revisions/sha256/${digestOf(manifestOf(promised)).slice(7)}/link`;
    return this.calls.some(({ method, path }) => method === "putContent" && path.endsWith(link));
  }

  /** The turns that an actor had. */
  callsOf(actor: string): number {
    return this.calls.filter((call) => call.actor === actor && !isBetweenParts(call.path)).length;
  }

  /** Days pass, and nobody does anything. */
  pass(ms: number): void {
    this.scheduler.now += ms;
  }
}
