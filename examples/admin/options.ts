/** What may be said in the body of a request that starts a collection: the options of a run that are data. */

import type { GcOptions } from "oci-registry-gc";

/** Hooks, caches and barriers are the program's own affair. */
type Hook = "keep" | "onDeleted" | "onItem" | "onProgress" | "barrier" | "referenceCache";
export type CollectionOptions = Omit<GcOptions, Hook>;

const flag = { type: "boolean" } as const;
const milliseconds = { type: "number", minimum: 0 } as const;
const wholeNumber = { type: "integer", minimum: 1 } as const;

/** A compiler's error here says that the library has a new option. */
const PROPERTIES: Readonly<Record<keyof CollectionOptions, object>> = {
  dryRun: flag,
  removeUntagged: flag,
  readOnly: flag,
  gracePeriodMs: milliseconds,
  quarantine: flag,
  quarantineMs: milliseconds,
  drainMs: milliseconds,
  referrers: enumOf("keep-with-subject", "ignore"),
  onDamage: enumOf("protect", "abort"),
  removeLayerLinks: flag,
  removeUploadsOlderThanMs: milliseconds,
  removeEmptyRepositories: flag,
  maxDeleteRatio: { type: "number", minimum: 0, maximum: 1 } as const,
  allowEmptyMark: flag,
  concurrency: wholeNumber,
  maxParallelManifestGets: wholeNumber,
};

export const OPTIONS_SCHEMA = { type: "object", additionalProperties: false, properties: PROPERTIES } as const;

/** What Ajv tells of the first thing that is wrong. */
export interface SchemaError {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: Readonly<Record<string, unknown>>;
  readonly message?: string;
}

/** The same for the one who sent it: which option, and what is allowed. */
export function complaintAbout({ keyword, instancePath, params, message = "is wrong" }: SchemaError): string {
  if (keyword === "additionalProperties") {
    return `there is no option ${JSON.stringify(params["additionalProperty"])}; there are ${Object.keys(PROPERTIES).join(", ")}`;
  }
  if (instancePath === "") return `the body ${message}: the options of a collection as JSON, {} for the defaults`;
  const allowed = params["allowedValues"];
  const expected = Array.isArray(allowed) ? `${message}: ${allowed.map((each) => JSON.stringify(each)).join(" or ")}` : message;
  return `the option ${instancePath.slice(1)} ${expected}`;
}

function enumOf(...values: readonly string[]): { readonly enum: readonly string[] } {
  return { enum: values };
}
