/** How often a condition is looked at. */
const POLL_MS = 15;

/** Waits until `condition` gives something else than undefined or false. Throws with what `what` says after a time. */
export async function until<T>(
  what: string | (() => string),
  condition: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = 25_000,
): Promise<T> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadlineMs) {
      throw new Error(`not within ${timeoutMs} ms: ${typeof what === "string" ? what : what()}`);
    }
    await sleep(POLL_MS);
  }
}

/** Throws when `condition` turns true within `durationMs`. */
export async function never(
  what: string,
  durationMs: number,
  condition: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + durationMs;
  while (performance.now() < deadlineMs) {
    if (await condition()) throw new Error(`must not happen: ${what}`);
    await sleep(POLL_MS);
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
