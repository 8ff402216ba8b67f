/** A client of Redis that answers, or says that it can't: it never waits for a server that is gone. */

import { Redis } from "ioredis";
import { UsageError } from "./program.js";

const ANSWER_MS = 1000;
const RECONNECT_MS = 200;

/**
 * @param named - Where the user says which Redis it is.
 * @throws UsageError where nobody answers there.
 */
export async function connectToRedis(url: string, answerMs = ANSWER_MS, named = "option --redis"): Promise<Redis> {
  const { protocol, host } = checkedUrl(url, named);
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: answerMs,
    commandTimeout: answerMs,
    // What finds no server, or loses it, fails at the next try to connect, rather than after twenty.
    maxRetriesPerRequest: 0,
    // Once it was there it may come again: then what is pending can be told.
    retryStrategy: () => RECONNECT_MS,
  });
  // Each command tells its own failure.
  let last: Error | undefined;
  redis.on("error", (error: Error) => {
    last = error;
  });
  try {
    await redis.connect();
    await redis.ping();
    return redis;
  } catch (error) {
    redis.disconnect();
    const why = (last ?? (error as Error)).message;
    // The URL may hold a password.
    throw new UsageError(`there is no Redis at ${protocol}//${host} (${why}): start one with redis-server, or name another by ${named}`);
  }
}

function checkedUrl(text: string, named: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^rediss?:$/.test(url.protocol) && url.host !== "") return url;
  throw new UsageError(`${named} is no URL of a Redis; expected one such as redis://127.0.0.1:6379/0`);
}
