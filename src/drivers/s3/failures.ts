/** What went wrong with a request: whether to try again, and how to say it. */

/** What is read of an error of the SDK, of Node or of ours. */
export interface S3Failure {
  /** The store's code, as `NoSuchKey`; else the error's own code or name. */
  readonly code: string;
  /** HTTP status; 0 where there was no answer. */
  readonly status: number;
  readonly message: string;
  /** Milliseconds that the store asks to wait. */
  readonly retryAfterMs: number | undefined;
  /** Where the bucket is, if the store tells. */
  readonly region: string | undefined;
}

/** `overrun`: the store can't keep up, or didn't answer in time. `transient`: worth another try. `final`: the same again. */
export type FailureKind = "overrun" | "transient" | "final";

interface SdkError {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

/** An answer that can't be right: a listing that was cut off, a copy that told no result. Another try may tell more. */
export class UnsoundAnswer extends Error {
  override readonly name = "UnsoundAnswer";
}

export function failureOf(error: unknown, now: number): S3Failure {
  if (typeof error !== "object" || error === null) {
    return { code: "Unknown", status: 0, message: String(error), retryAfterMs: undefined, region: undefined };
  }
  const { name, code, Code, message, $metadata, $response } = error as SdkError;
  const text = [Code, code, name].find((each): each is string => typeof each === "string" && each !== "" && each !== "Error");
  const headers = $response?.headers ?? {};
  return {
    code: text ?? "Unknown",
    status: $metadata?.httpStatusCode ?? $response?.statusCode ?? 0,
    message: typeof message === "string" ? message : "",
    retryAfterMs: retryAfterMs(headers["retry-after"], dateOr(headers["date"], now)),
    region: headers["x-amz-bucket-region"],
  };
}

/** When the store answered, by its own clock: ours may be another. */
function dateOr(header: string | undefined, now: number): number {
  const date = Date.parse(header ?? "");
  return Number.isNaN(date) ? now : date;
}

/** Seconds, or a date. */
function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  const seconds = Number(header);
  const ms = Number.isNaN(seconds) ? Date.parse(header) - now : seconds * 1000;
  return Number.isNaN(ms) ? undefined : Math.max(0, ms);
}

const OVERRUN_CODES: ReadonlySet<string> = new Set([
  ...["SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException", "ThrottledException", "RequestThrottled"],
  ...["RequestThrottledException", "TooManyRequests", "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded"],
  ...["TimeoutError", "RequestTimeout", "RequestTimeoutException", "ETIMEDOUT", "ESOCKETTIMEDOUT"],
]);
const OVERRUN_STATUSES: ReadonlySet<number> = new Set([408, 429, 503, 504]);

const TRANSIENT_CODES: ReadonlySet<string> = new Set([
  ...["InternalError", "InternalServerError", "OperationAborted", "ConditionalRequestConflict", "UnsoundAnswer"],
  ...["ECONNRESET", "ECONNREFUSED", "EPIPE", "EAI_AGAIN", "ENETUNREACH", "EHOSTUNREACH", "ERR_STREAM_PREMATURE_CLOSE"],
]);
/** A 200 that could not be understood was cut off, or was something else than an answer. */
const TRANSIENT_STATUSES: ReadonlySet<number> = new Set([200, 206, 500, 502]);

export function kindOf({ code, status }: Pick<S3Failure, "code" | "status">): FailureKind {
  if (OVERRUN_CODES.has(code) || OVERRUN_STATUSES.has(status)) return "overrun";
  if (TRANSIENT_CODES.has(code) || TRANSIENT_STATUSES.has(status)) return "transient";
  return "final";
}

/** Whether the store may have refused the checksums that were sent, or missed one. */
export function refusesChecksums({ code, status, message }: S3Failure): boolean {
  if (status === 501) return true;
  if (/^(MissingContentMD5|MissingDigest|InvalidDigest|BadDigest|XAmzContentChecksumMismatch)$/.test(code)) return true;
  return (status === 400 || status === 411) && /md5|checksum|digest/i.test(`${code} ${message}`);
}

/** Whether the store refuses to write only where nothing is. */
export function refusesCondition({ code, status, message }: S3Failure): boolean {
  if (status === 501) return true;
  return status >= 400 && status < 500 && (/^(NotImplemented|UnsupportedHeader)$/.test(code) || /if-none-match/i.test(message));
}

const ADVICE: readonly (readonly [RegExp, (bucket: string, region: string | undefined) => string])[] = [
  [/^NoSuchBucket$/, (bucket) => `there is no bucket ${bucket}: check the bucket's name and the client's endpoint and region`],
  [
    /^(PermanentRedirect|TemporaryRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraintException|301|307)$/,
    (bucket, region) =>
      `bucket ${bucket} is in another region${region === undefined ? "" : `, ${region}`}: make the client with the bucket's region`,
  ],
  [
    /^(InvalidAccessKeyId|SignatureDoesNotMatch|InvalidToken|ExpiredToken|InvalidSecurity|TokenRefreshRequired|AuthFailure)$/,
    (bucket) => `the client's credentials are not accepted for bucket ${bucket}: check key, secret and session token`,
  ],
  [
    /^(CredentialsProviderError|NoCredentials)$/,
    (bucket) => `the client has no credentials for bucket ${bucket}: give it some, or let it find them in its surroundings`,
  ],
  [
    /^(AccessDenied|AllAccessDisabled|AccountProblem|Forbidden|403)$/,
    (bucket) => `access to bucket ${bucket} is denied: docs/s3.md lists the permissions that are needed`,
  ],
  [/^(RequestTimeTooSkewed|RequestExpired)$/, (bucket) => `this machine's clock is not the clock of bucket ${bucket}'s store: set it`],
  [/^(ENOTFOUND)$/, (bucket) => `the host of bucket ${bucket} is not known: check the client's endpoint and region`],
];

/** What happened, where, and what to do. */
export function explain(failure: S3Failure, operation: string, bucket: string, path: string, tries: number): string {
  const { code, status, message, region } = failure;
  const advice = [code, String(status)].map((each) => ADVICE.find(([pattern]) => pattern.test(each))).find((each) => each !== undefined);
  const said = `${code}${status === 0 ? "" : ` (HTTP ${status})`}${message === "" || message === code ? "" : `: ${message}`}`;
  const often = tries > 1 ? ` after ${tries} tries` : "";
  const where = `s3: ${operation} of ${path} in bucket ${JSON.stringify(bucket)} failed${often}`;
  return advice === undefined ? `${where}: ${said}` : `${where}: ${advice[1](JSON.stringify(bucket), region)} (${said})`;
}
