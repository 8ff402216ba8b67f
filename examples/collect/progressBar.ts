/** How far a run is, drawn on a terminal; silent where there is none. */

import cliProgress from "cli-progress";
import type { Phase, Progress } from "oci-registry-gc";

const WIDTH = 30;

const PHASES: Readonly<Record<Phase, readonly [doing: string, unit: string]>> = {
  inventory: ["Listing blobs", "blobs"],
  mark: ["Marking", "repositories"],
  look: ["Looking again", "repositories"],
  sweep: ["Deleting", "items"],
  drain: ["Waiting", "seconds"],
  purge: ["Purging", "items"],
};

export interface ProgressBar {
  update(progress: Progress): void;
  stop(): void;
}

export function progressBar(stream: NodeJS.WriteStream): ProgressBar {
  if (!stream.isTTY) return { update: () => {}, stop: () => {} };
  let latest: Progress = { phase: "inventory", done: 0 };
  const bar = new cliProgress.SingleBar({ stream, format: () => draw(latest), hideCursor: true, clearOnComplete: true, fps: 10 });
  bar.start(1, 0);
  return {
    update(progress) {
      latest = progress;
      bar.update(0);
    },
    stop: () => bar.stop(),
  };
}

function draw({ phase, done, total }: Progress): string {
  if (phase === "drain") {
    const left = Math.ceil(((total ?? done) - done) / 1000);
    return `Waiting ${left} s for requests to end (--read-only saves this, where the registry is stopped)`;
  }
  const [doing, unit] = PHASES[phase];
  const label = doing.padEnd(14);
  // How many blobs there are is known when they have been listed.
  if (total === undefined) return `${label} ${done.toLocaleString("en")} ${unit}`;
  const filled = total === 0 ? WIDTH : Math.round((Math.min(done, total) / total) * WIDTH);
  return `${label} ${"█".repeat(filled)}${"░".repeat(WIDTH - filled)} ${done.toLocaleString("en")} of ${total.toLocaleString("en")} ${unit}`;
}
