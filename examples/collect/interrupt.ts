/** Ctrl-C, `kill`, a terminal that is closed: the first asks the run to stop in order, another one a moment later ends the program. */

const CODES = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** npm and tsx pass a signal on that the terminal has sent to us already. */
const SAME_MS = 1000;

export class Interrupted extends Error {
  constructor(readonly exitCode: number) {
    super("interrupted");
  }
}

/** Runs some work with a signal that fires on Ctrl-C; its reason is an {@link Interrupted}. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let first: number | undefined;
  const stop = (name: NodeJS.Signals) => {
    const exitCode = CODES[name as keyof typeof CODES];
    first ??= Date.now();
    if (Date.now() - first > SAME_MS) process.exit(exitCode);
    controller.abort(new Interrupted(exitCode));
  };
  const names = Object.keys(CODES) as (keyof typeof CODES)[];
  for (const name of names) process.on(name, stop);
  try {
    return await work(controller.signal);
  } finally {
    for (const name of names) process.off(name, stop);
  }
}
