/** A client that pushes the manifest, cut wherever a registry is not atomic: a look at a link, a look at data, a write. */

import { BOTH, type Client, type ClientStep, type Repository, type Rules, replaced, type State, type Step } from "./state.js";

/** Steps at which a client waits for no answer: the drain does not wait for it there. */
const RESTING: ReadonlySet<ClientStep> = new Set(["idle", "ready", "acknowledged"]);

export const isInFlight = (state: State, client: Client): boolean => !RESTING.has(state.clients[client]);
export const inFlight = (state: State): Client[] => BOTH.filter((client) => isInFlight(state, client));

export const repositoryOf = (rules: Rules, client: Client): Repository => (client === 0 || rules.second === "A" ? 0 : 1);

/** Everything that this client may do next. */
export function clientSteps(rules: Rules, state: State, client: Client): Step[] {
  const repository = repositoryOf(rules, client);
  const other: Repository = repository === 0 ? 1 : 0;
  const hasLink = state.layerLinks[repository] !== "none";
  const to = (label: string, next: ClientStep, changes: Partial<State> = {}): Step => {
    const moved: State = { ...state, ...changes, clients: replaced(state.clients, client, next) };
    const awaited = isInFlight(moved, client) ? moved.awaited : moved.awaited.filter((each) => each !== client);
    return { label: `client ${client + 1}: ${label}`, state: { ...moved, awaited } };
  };
  /** What storage says; and, with a cache, what it may still remember. */
  const asked = (what: string, isThere: boolean, yes: ClientStep, no: ClientStep | undefined): Step[] => {
    if (isThere) return [to(`${what}: there`, yes)];
    const steps = no === undefined ? [] : [to(`${what}: absent`, no)];
    return state.cached ? [...steps, to(`${what}: there, says the cache`, yes)] : steps;
  };

  switch (state.clients[client]) {
    case "idle":
      return [
        ...asked("HEAD layer", hasLink && state.layer, "ready", undefined),
        state.layer ? to("upload: layer there", "upload: layer there") : to("upload: layer absent", "upload: layer absent"),
        ...asked("mount, source", state.layerLinks[other] !== "none" && state.layer, "mount", undefined),
      ];
    case "upload: layer absent":
      return [to("upload: layer written", "upload: layer there", { layer: true })];
    case "upload: layer there":
    case "mount":
      return [to("layer link written, 201", "ready", { layerLinks: replaced(state.layerLinks, repository, "young") })];
    case "ready":
      return asked("PUT manifest, layer link", hasLink, "put: link checked", "idle");
    case "put: link checked":
      return asked("PUT manifest, layer", state.layer, "put: layer checked", "idle");
    case "put: layer checked":
      return asked("PUT manifest, manifest's data", state.manifest, "put: manifest there", "put: manifest absent");
    case "put: manifest absent":
      return [to("PUT manifest: data written", "put: manifest there", { manifest: true })];
    case "put: manifest there":
      return [
        to("PUT manifest: revision link written, 201", "acknowledged", { revisions: replaced(state.revisions, repository, "young") }),
      ];
    case "acknowledged":
      return [];
  }
}
