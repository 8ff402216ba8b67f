/** The example, as a user runs it. */

import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { describeRedis, RedisServer } from "./redis.js";

const project = fileURLToPath(new URL("../..", import.meta.url));

describeRedis("npm run example:bullmq", () => {
  /** Where its temporary folders go, to see that none is left. */
  const temporary = mkdtempSync(join(tmpdir(), "oci-registry-gc-example-"));
  /** A PATH on which there is Node alone. */
  const bare = mkdtempSync(join(tmpdir(), "oci-registry-gc-bare-"));
  symlinkSync(process.execPath, join(bare, "node"));
  afterAll(() => {
    for (const folder of [temporary, bare]) rmSync(folder, { recursive: true, force: true });
  });

  interface Outcome {
    readonly code: number;
    readonly stdout: string;
    readonly stderr: string;
  }

  function run(env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
    mkdirSync(temporary, { recursive: true });
    const options = { cwd: project, env: { ...process.env, TMPDIR: temporary, ...env } };
    return new Promise((resolve) => {
      execFile(process.execPath, ["--import", "tsx", "examples/bullmq/main.ts"], options, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  }

  const left = () => readdirSync(temporary).filter((name) => name.startsWith("oci-registry-gc"));

  function expectCollected({ code, stdout, stderr }: Outcome): void {
    expect(stderr).toBe("");
    expect(stdout).toMatch(/4 workers: processes \d+, \d+, \d+, \d+\n/);
    expect(stdout).toMatch(/ {2}(inventory|mark|sweep) +\d+ of \d+ parts/);
    expect(stdout).toContain("Registry garbage collection: completed");
    const [before, after] = [...stdout.matchAll(/^(\d+) blobs, /gm)].map(([, blobs]) => Number(blobs));
    expect([before, after]).toEqual([24, 17]);
    expect(code).toBe(0);
    expect(left()).toEqual([]);
  }

  test("collects a small registry with a Redis of its own, and leaves nothing", async () => {
    expectCollected(await run());
  });

  test.each([
    ["redis://127.0.0.1:1", /^there is no Redis at redis:\/\/127\.0\.0\.1:1 \(.*\): start one .* or name another by REDIS_URL\n/],
    ["nonsense", /^REDIS_URL is no URL of a Redis; expected one such as/],
  ])("says it where nobody answers at %s", async (url, message) => {
    const { code, stderr } = await run({ REDIS_URL: url });
    expect(stderr).toMatch(message);
    expect([code, left()]).toEqual([2, []]);
  });

  test("uses the Redis that REDIS_URL names", async () => {
    const redis = await RedisServer.start();
    try {
      expectCollected(await run({ REDIS_URL: `redis://127.0.0.1:${redis.port}`, PATH: bare }));
    } finally {
      await redis.stop();
    }
  });

  test("says what to do where there is no redis-server", async () => {
    const { code, stderr } = await run({ PATH: bare });
    expect(stderr).toMatch(/redis-server could not be started .*ENOENT.*: install it, or name a Redis by REDIS_URL\n$/);
    expect(code).toBe(1);
    expect(left()).toEqual([]);
  });
});
