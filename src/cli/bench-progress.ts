import type { Load } from "./bench-load.ts";

const EVERY_MS = 1_000;

/** Shows on standard error how a run goes, on one line, where that is a terminal. Returns how to end and erase it. */
export function showProgress(load: Load, totalMs: number): () => void {
  const { stderr } = process;
  if (!stderr.isTTY) return () => {};
  let before = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const { allAcknowledged, allFailed, fromMs, toMs } = load.tally;
    const seconds = Math.round((nowMs - load.startMs) / 1_000);
    const phase = nowMs < fromMs ? "warming up" : nowMs < toMs ? "measuring" : "waiting for answers";
    const rate = allAcknowledged - before;
    before = allAcknowledged;
    const line = `${seconds}/${totalMs / 1_000} s  ${phase}  ${rate}/s acknowledged  ${allFailed} failed`;
    stderr.write(`\r\x1b[K${line}`);
  }, EVERY_MS);
  return () => {
    clearInterval(timer);
    stderr.write("\r\x1b[K");
  };
}
