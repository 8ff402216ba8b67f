/** Whether everything that is claimed can be pulled. */

import { RegistryClient } from "../support/registryClient.js";
import type { Claim } from "./claims.js";

/** Pulls every claim with all that it reaches, and says what is missing or is not what it should be. */
export async function missingFrom(host: string, claims: readonly Claim[]): Promise<readonly string[]> {
  const client = new RegistryClient(host);
  const missing: string[] = [];
  for (const { repository, reference, manifest } of claims) {
    const what = `${repository}, ${reference} (${manifest.name}, ${manifest.digest})`;
    try {
      const pulled = await client.pull(repository, reference);
      if (pulled !== manifest.digest) missing.push(`${what} is ${pulled}`);
    } catch (error) {
      missing.push(`${what}: ${String(error)}`);
    }
  }
  return missing;
}
