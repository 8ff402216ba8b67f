/** The example program, as a user runs it: what it prints, how it exits, and what it leaves. */

import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { GcReport } from "oci-registry-gc";
import { formatReport, renderReport } from "oci-registry-gc/report";
import { afterAll, describe, expect, test } from "vitest";
import { contentOf, DAY, filesystemStore } from "./support/stores.js";
import { layOut, vector } from "./support/vectors.js";

const project = fileURLToPath(new URL("..", import.meta.url));
const program = ["--import", "tsx", "examples/collect/main.ts"];

/** Where the program's own temporary folders go, to see that none is left. */
const temporary = mkdtempSync(join(tmpdir(), "oci-registry-gc-collect-"));
const env = { ...process.env, TMPDIR: temporary };
afterAll(() => rmSync(temporary, { recursive: true, force: true }));

interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const run = (...args: readonly string[]): Promise<Outcome> => runWith({}, ...args);

function runWith(more: NodeJS.ProcessEnv, ...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...program, ...args], { cwd: project, env: { ...env, ...more } }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A registry, and whether it is as it was. */
async function retagged() {
  const store = await retag();
  const files = await contentOf(store.driver);
  const before = async () => JSON.stringify([...(await contentOf(store.driver))]) === JSON.stringify([...files]);
  return { directory: store.folder, before };
}

const retag = () => layOut(vector("retag"), filesystemStore());

describe("without a directory", () => {
  test("it shows a registry of its own before and after, and leaves nothing behind", async () => {
    const { code, stdout, stderr } = await run();
    expect(stderr).toBe("");
    expect(stdout).toMatch(/Before:[^]*shop\/web[^]*24 blobs, 4\.4 MiB/);
    expect(stdout).toMatch(/After:[^]*shop\/web[^]*17 blobs, 2\.6 MiB/);
    expect(stdout).toContain("Deleted 7 blobs (1.8 MiB), 1 manifest, 5 layer links, 1 tag index entry; 17 blobs in use");
    expect(code).toBe(0);
    expect(readdirSync(temporary).filter((name) => name.startsWith("oci-registry-gc-demo-"))).toEqual([]);
  });

  test("other options count there as well", async () => {
    const { code, stdout } = await run("--dry-run");
    expect(stdout).toMatch(/After:[^]*24 blobs, 4\.4 MiB/);
    expect(stdout).toContain("Would delete 7 blobs");
    expect(code).toBe(0);
  });
});

describe("with a directory", () => {
  test("a dry run tells what would go and why, and changes nothing", async () => {
    const { driver, folder } = await retag();
    const before = await contentOf(driver);
    const { code, stdout } = await run(folder, "--dry-run", "--read-only", "--remove-untagged");
    expect(stdout).toMatch(/To go .* Why/);
    expect(stdout).toMatch(/manifests .* nothing keeps them/);
    expect(stdout).toMatch(/blobs .* no kept manifest reaches them/);
    expect(stdout).toContain("Nothing was changed: this was a dry run.");
    expect(code).toBe(0);
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a real run removes it, and says so", async () => {
    const { driver, folder } = await retag();
    const before = (await contentOf(driver)).size;
    const { code, stdout } = await run(folder, "--read-only", "--remove-untagged");
    expect(stdout).toMatch(/Gone .* Why/);
    expect(stdout).toContain("Deleted 4 blobs");
    expect(code).toBe(0);
    expect((await contentOf(driver)).size).toBeLessThan(before);
  });

  test("--json prints the report and nothing else", async () => {
    const { folder } = await retag();
    const { code, stdout } = await run(folder, "--json", "--dry-run", "--read-only", "--remove-untagged");
    const report = JSON.parse(stdout) as GcReport;
    expect(report).toMatchObject({ status: "completed", dryRun: true, eligible: { blobs: 4, manifests: 1 } });
    expect(code).toBe(0);
  });

  test("--html writes the report as a page, beside what is printed", async () => {
    const { folder } = await retag();
    const page = join(temporary, "report.html");
    const outcome = await run(folder, "--html", page, "--json", "--dry-run", "--read-only", "--remove-untagged");
    expect(outcome).toMatchObject({ code: 0, stderr: `The report as a page: ${page}\n` });
    const report = JSON.parse(outcome.stdout) as GcReport;
    expect(readFileSync(page, "utf8")).toBe(renderReport(report));
  });

  test.each(["nowhere/report.html", "."])("a page that can't be written to %s is said before anything goes", async (page) => {
    const { folder, driver } = await retag();
    const before = await contentOf(driver);
    const outcome = await run(folder, "--html", join(temporary, page), "--read-only", "--remove-untagged");
    expect(outcome).toMatchObject({ code: 2, stderr: expect.stringContaining("the page can't be written to") as string });
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a refused run writes its page as well", async () => {
    const { folder } = await layOut(vector("wrong-root"), filesystemStore());
    const page = join(temporary, "refused.html");
    expect((await run(folder, `--html=${page}`)).code).toBe(1);
    expect(readFileSync(page, "utf8")).toContain("The run was refused");
  });

  test("options reach the collector", async () => {
    const { folder, put } = await retag();
    const upload = "/docker/registry/v2/repositories/other/_uploads/0c6d58a5-6b3e-4d2c-8f5b-1f5e6a1f4f11";
    const longAgo = new Date(Date.now() - 10 * DAY);
    await put(`${upload}/startedat`, longAgo.toISOString(), longAgo.getTime());
    const report = async (...args: readonly string[]) => JSON.parse((await run(folder, "--json", "--dry-run", ...args)).stdout) as GcReport;
    const [online, patient, full] = await Promise.all([
      report("--remove-untagged", "--no-layer-links", "--referrers=ignore", "--on-damage", "abort", "--allow-empty-mark"),
      report("--remove-untagged", "--grace-period", "52w", "--max-delete-ratio=1", "--concurrency", "2"),
      report("--read-only", "--remove-untagged", "--remove-uploads-older-than=7d", "--remove-empty-repositories"),
    ]);
    expect(online).toMatchObject({ safety: "quarantine", eligible: { blobs: 4, layerLinks: 0, uploads: 0 } });
    expect(patient).toMatchObject({ safety: "quarantine", eligible: { blobs: 0 } });
    expect(full).toMatchObject({ safety: "quiesced", eligible: { blobs: 4, uploads: 1 } });
    expect(full.eligible.layerLinks).toBeGreaterThan(0);
  });

  test("what stays because it is young is no riddle", async () => {
    const { folder, put } = await retag();
    await put(...blob("a young orphan"), Date.now());
    const { code, stdout } = await run(folder);
    expect(stdout).toContain("Nothing to delete");
    expect(stdout).toContain("Kept because of the grace period: 1 blob");
    expect(stdout).toContain("--read-only");
    expect(code).toBe(0);
  });

  test("damage is listed", async () => {
    const { folder, put } = await retag();
    await put("/docker/registry/v2/repositories/other/_layers/sha256/readme.txt", "hello");
    await put("/docker/registry/v2/repositories/other/_manifests/tags/broken/current/link", "");
    const { code, stdout } = await run(folder, "--dry-run", "--read-only");
    expect(stdout).toMatch(/Damage[^]*empty-link at .*tags\/broken\/current\/link/);
    expect(stdout).toContain("Left alone, since no registry wrote it: 1 file or directory.");
    expect(code).toBe(0);
  });
});

describe("what lies aside", () => {
  test("is listed, brought back, and purged", async () => {
    const { driver, folder } = await retag();
    const before = new Set((await contentOf(driver)).keys());
    const online = ["--remove-untagged", "--drain", "0"];
    const run1 = await run(folder, ...online);
    expect(run1.stdout).toContain("Put aside 4 blobs");
    const listed = await run(folder, "--list-runs");
    expect(listed.stdout).toMatch(/settled .* 4 /);
    const restored = await run(folder, "--restore", "all");
    expect(restored).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Brought back 4 blobs .* and 3 layer links\.$/m) as string });
    const there = await contentOf(driver);
    for (const path of before) expect(there.has(path)).toBe(true);
    expect((await run(folder, "--list-runs")).stdout).toContain("Nothing lies aside.");
    const wrong = await run(folder, "--restore", "nothing");
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no run "nothing" aside') as string });
    expect((await run(folder, "--purge", "--list-runs")).code).toBe(2);
    // What would be ignored is refused.
    const dry = await run(folder, "--restore", "all", "--dry-run");
    expect(dry).toMatchObject({ code: 2, stderr: expect.stringContaining("--restore takes no --dry-run") as string });
    const nowhere = await run("--purge");
    expect(nowhere).toMatchObject({ code: 2, stderr: expect.stringContaining("--purge needs the DIRECTORY") as string });
    expect((await run("--purge", "--help")).code).toBe(0);
    expect((await run(folder, "--purge", "--dry-run")).code).toBe(0);
  });
});

describe("what it can't do", () => {
  test("a refused run exits with 1, the code and the numbers", async () => {
    const { driver, folder, put } = await retag();
    for (let i = 0; i < 200; i++) await put(...blob(`orphan ${i}`));
    const before = await contentOf(driver);
    const { code, stdout, stderr } = await run(folder, "--read-only");
    expect(stderr).toContain("Refused (DELETE_RATIO): the plan would delete 200 of 209 blobs");
    expect(stdout).toMatch(/blobs to go .* 200 /);
    expect(stdout).toContain("Nothing was deleted.");
    expect(code).toBe(1);
    expect(await contentOf(driver)).toEqual(before);
  });

  test("a directory without repositories is refused", async () => {
    const { folder } = await layOut(vector("wrong-root"), filesystemStore());
    const { code, stderr } = await run(folder);
    expect(stderr).toContain("Refused (EMPTY_MARK)");
    expect(code).toBe(1);
  });

  test("what could not be deleted is listed, the rest of a long list counted", async () => {
    const { folder } = await retag();
    const { stdout } = await run(folder, "--json", "--dry-run", "--read-only");
    const failures = Array.from({ length: 12 }, (_, i) => ({ path: `/blob/${i}`, code: "DRIVER_ERROR", message: "permission denied" }));
    const report = { ...(JSON.parse(stdout) as GcReport), status: "completed-with-failures" as const, failures, failureCount: 12 };
    expect(formatReport(report)).toContain("Could not be deleted:\n  /blob/0: permission denied (DRIVER_ERROR)\n");
    expect(formatReport(report)).toContain("/blob/9: permission denied (DRIVER_ERROR)\n  ... and 2 more failures");
  });

  test("a directory that is no registry exits with 2, and says what to give", async () => {
    const { folder } = await retag();
    const somewhere = join(temporary, "somewhere");
    mkdirSync(join(somewhere, "registry", "docker", "registry", "v2"), { recursive: true });
    const file = join(temporary, "file");
    writeFileSync(file, "");
    const outcomes = await Promise.all(
      [join(temporary, "nowhere"), file, temporary, somewhere, join(folder, "docker"), join(folder, "docker/registry/v2/blobs")].map(
        (path) => run(path),
      ),
    );
    const said = [
      "there is no such directory",
      "is a file",
      "is no registry",
      `Did you mean ${join(somewhere, "registry")}?`,
      `Give the registry's root directory: ${folder}\n`,
      `Give the registry's root directory: ${folder}\n`,
    ];
    for (const [i, { code, stderr }] of outcomes.entries()) {
      expect(stderr).toContain(said[i]);
      expect(code).toBe(2);
    }
  });

  test("what npm takes for itself is not lost in silence: a dry run must not be a real one", async () => {
    const { directory, before } = await retagged();
    const byNpm = { npm_command: "run-script", npm_lifecycle_event: "collect", npm_config_dry_run: "true", npm_config_read_only: "true" };
    const { code, stderr } = await runWith(byNpm, directory);
    expect(stderr).toContain("npm has taken --dry-run, --read-only for itself: put -- before the arguments, npm run collect -- --dry-run");
    expect(code).toBe(2);
    expect(await before()).toBe(true);
    expect((await runWith({ ...byNpm, npm_command: "run" }, directory)).code).toBe(2);
    expect((await runWith(byNpm, directory, "--dry-run", "--read-only")).code).toBe(0);
    expect((await runWith({ ...byNpm, npm_command: "test" }, directory, "--dry-run")).code).toBe(0);
  });

  test("npm itself is as it is taken to be", async () => {
    const { directory, before } = await retagged();
    const { stderr } = await new Promise<{ stderr: string }>((resolve) => {
      execFile("npm", ["run", "collect", directory, "--dry-run"], { cwd: project, env }, (_error, _stdout, stderr) => resolve({ stderr }));
    });
    expect(stderr).toContain("npm has taken --dry-run for itself: put -- before the arguments, npm run collect -- --dry-run");
    expect(await before()).toBe(true);
  });

  test("a wrong option exits with 2, its name and what is allowed", async () => {
    const wrong: Readonly<Record<string, readonly string[]>> = {
      "there is no option --shred; there are --dry-run,": ["--shred"],
      "option --dry-run takes no value": ["--dry-run=yes"],
      "option --html needs a value: FILE": ["--html"],
      'option --html is ""; expected the name of a file': ["--html="],
      "option --grace-period needs a value: DURATION": ["--grace-period"],
      'option --grace-period is "a while"; expected a number and a unit': ["--grace-period", "a while"],
      'option --remove-uploads-older-than is "7"; expected': ["--remove-uploads-older-than=7"],
      'option --max-delete-ratio is "2"; expected a number from 0 to 1': ["--max-delete-ratio=2"],
      'option --concurrency is "0"; expected a whole number, 1 or more': ["--concurrency", "0"],
      'option --on-damage is "ignore"; expected protect or abort': ["--on-damage=ignore"],
      'option --referrers is ""; expected keep-with-subject or ignore': ["--referrers="],
      "expected one directory, got a and b": ["a", "b"],
    };
    const outcomes = await Promise.all(Object.entries(wrong).map(async ([message, args]) => ({ message, ...(await run(...args)) })));
    for (const { message, code, stdout, stderr } of outcomes) {
      expect(stderr).toContain(message);
      expect(stdout).toBe("");
      expect(code).toBe(2);
    }
  });

  test("--help tells all options", async () => {
    const { code, stdout } = await run("--help");
    for (const option of ["--dry-run", "--grace-period DURATION", "--on-damage protect|abort", "--json", "--html FILE"])
      expect(stdout).toContain(option);
    expect(code).toBe(0);
  });
});

test("Ctrl-C stops the run, and it says what was done by then", async () => {
  const { folder, put } = await retag();
  const orphans = Array.from({ length: 6000 }, (_, i) => blob(`orphan ${i}`));
  await Promise.all(orphans.map(([path, content]) => put(path, content)));
  const left = () => orphans.filter(([path]) => existsSync(join(folder, path))).length;

  const child = spawn(process.execPath, [...program, folder, "--read-only", "--max-delete-ratio=1", "--concurrency=1"], {
    cwd: project,
    env,
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  const closed = once(child, "close");
  while (left() === orphans.length && child.exitCode === null) await sleep(1);
  child.kill("SIGINT");
  const [code] = (await closed) as [number];

  expect(stderr).toContain("Interrupted.");
  const deleted = Number(/Deleted by then: ([\d,]+) blobs/.exec(stdout)?.[1]?.replace(",", ""));
  expect(deleted).toBeGreaterThan(0);
  expect(left()).toBe(orphans.length - deleted);
  expect(left()).toBeGreaterThan(0);
  expect(code).toBe(130);
});

/** Where a blob lies, and what is in it. */
function blob(content: string): [path: string, content: string] {
  const hex = createHash("sha256").update(content).digest("hex");
  return [`/docker/registry/v2/blobs/sha256/${hex.slice(0, 2)}/${hex}/data`, content];
}
