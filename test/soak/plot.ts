import type { Sample } from "./sample.ts";

const WIDTH = 900;
const PANEL_HEIGHT = 180;
const GAP = 50;
const LEFT = 70;
const RIGHT = 20;
const TOP = 40;
const MIB = 2 ** 20;
const TICKS = 4;
const COLORS = ["#1f6fb2", "#c2571a", "#2e8540"] as const;
const SNAPSHOT_COLOR = "#dfe8f3";
const KILL_COLOR = "#b00020";

interface Line {
  readonly name: string;
  readonly color: string;
  /** Undefined where there is nothing. */
  readonly values: readonly (number | undefined)[];
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
}

/** Memory, disk and p99 over time, with the intervals of snapshots shaded and the kills marked, as SVG. */
export function plotOf(samples: readonly Sample[], killsMs: readonly number[]): string {
  const panels: Panel[] = [
    { title: "resident memory, MiB", lines: perNode(samples, "resident") },
    { title: "data directory, MiB", lines: perNode(samples, "disk") },
    {
      title: "p99 of the interval, ms",
      lines: [{ name: "p99", color: COLORS[0], values: samples.map(({ load }) => load.p99) }],
    },
  ];
  const seconds = samples.at(-1)?.seconds ?? 1;
  const height = TOP + panels.length * (PANEL_HEIGHT + GAP);
  const x = (at: number): number => LEFT + (at / seconds) * (WIDTH - LEFT - RIGHT);
  const drawn = panels.map((panel, i) => drawPanel(panel, samples, killsMs, x, TOP + i * (PANEL_HEIGHT + GAP)));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="${LEFT}" y="16">shaded: a snapshot was put or pulled; <tspan fill="${KILL_COLOR}">dashed: kill -9</tspan></text>`,
    ...drawn.flat(),
    "</svg>",
    "",
  ].join("\n");
}

function perNode(samples: readonly Sample[], what: "resident" | "disk"): Line[] {
  return COLORS.map((color, i) => {
    const values = samples.map(({ nodes }) => {
      const bytes = nodes[i]?.[what] ?? 0;
      return bytes === 0 ? undefined : bytes / MIB;
    });
    return { name: `n${i + 1}`, color, values };
  });
}

function drawPanel(
  { title, lines }: Panel,
  samples: readonly Sample[],
  killsMs: readonly number[],
  x: (seconds: number) => number,
  top: number,
): string[] {
  const bottom = top + PANEL_HEIGHT;
  const most = roundedUp(Math.max(1, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0))));
  const y = (value: number): number => bottom - (value / most) * PANEL_HEIGHT;
  const shades = samples
    .filter(({ hasSnapshot }) => hasSnapshot)
    .map(({ seconds, intervalSeconds }) => {
      const [from, to] = [x(Math.max(0, seconds - intervalSeconds)), x(seconds)];
      return `<rect x="${px(from)}" y="${top}" width="${px(to - from)}" height="${PANEL_HEIGHT}" fill="${SNAPSHOT_COLOR}"/>`;
    });
  const kills = killsMs.map((ms) => {
    const at = px(x(ms / 1_000));
    return `<line x1="${at}" x2="${at}" y1="${top}" y2="${bottom}" stroke="${KILL_COLOR}" stroke-dasharray="4 3"/>`;
  });
  const grid = Array.from({ length: TICKS + 1 }, (_, i) => {
    const value = (most * i) / TICKS;
    return (
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${px(y(value))}" y2="${px(y(value))}" stroke="#ccc"/>` +
      `<text x="${LEFT - 6}" y="${px(y(value) + 4)}" text-anchor="end">${Number(value.toPrecision(3))}</text>`
    );
  });
  const minutes = (samples.at(-1)?.seconds ?? 0) / 60;
  const times = Array.from({ length: TICKS + 1 }, (_, i) => {
    const minute = (minutes * i) / TICKS;
    return `<text x="${px(x(minute * 60))}" y="${bottom + 15}" text-anchor="middle">${minute.toFixed(1)} min</text>`;
  });
  const curves = lines.flatMap(({ color, values }) =>
    runsOf(values).map((run) => {
      const points = run.map(([i, value]) => `${px(x(samples[i]?.seconds ?? 0))},${px(y(value))}`).join(" ");
      return `<polyline points="${points}" fill="none" stroke="${color}" stroke-width="1.5"/>`;
    }),
  );
  const names = lines.map(({ name, color }, i) => {
    return `<text x="${WIDTH - RIGHT - 40 * (lines.length - i)}" y="${top - 6}" fill="${color}">${name}</text>`;
  });
  return [
    ...shades,
    ...grid,
    ...kills,
    ...curves,
    `<text x="${LEFT}" y="${top - 6}">${title}</text>`,
    ...names,
    ...times,
  ];
}

/** Values without a gap, with their places. */
function runsOf(values: readonly (number | undefined)[]): [place: number, value: number][][] {
  const runs: [number, number][][] = [[]];
  values.forEach((value, i) => {
    if (value === undefined) runs.push([]);
    else runs.at(-1)?.push([i, value]);
  });
  return runs.filter(({ length }) => length > 0);
}

function roundedUp(value: number): number {
  const step = 10 ** Math.floor(Math.log10(value));
  return Math.ceil((value * 1.05) / (step / 2)) * (step / 2);
}

function px(value: number): string {
  return value.toFixed(1);
}
