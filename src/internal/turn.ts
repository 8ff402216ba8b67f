/** Gives the event loop a turn: what would take long goes on after all that waits by now. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
