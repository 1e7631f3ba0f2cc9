/** Preloaded into a node: its time of day goes back by an hour, or forward by a day, twice a second. */
const HOUR_MS = 3_600_000;
const startMs = Date.now();
const RealDate = Date;

function wanderingMs(): number {
  const sinceMs = RealDate.now() - startMs;
  const jumps = Math.floor(sinceMs / 500);
  return startMs + sinceMs - jumps * HOUR_MS + Math.floor(jumps / 3) * 25 * HOUR_MS;
}

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [wanderingMs()] : args, newTarget),
  get: (target, name) => (name === "now" ? wanderingMs : Reflect.get(target, name)),
});
