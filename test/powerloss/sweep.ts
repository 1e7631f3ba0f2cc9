import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../storage/support.ts";
import { FATES, type Image, imageOf, writeImage } from "./image.ts";
import { cutPoints, newDisk } from "./recording.ts";
import type { Workload } from "./workload.ts";

/** Where the images of the first moment that lost something are kept, as they were before they were opened. */
const KEPT = join(".cache", "powerloss");

const MAX_LOSSES_SHOWN = 3;

export interface Sweep {
  readonly cuts: number;
  readonly images: number;
  /** One line for each image that lost something. */
  readonly losses: readonly string[];
}

/** Cuts the power at `cuts` moments of the workload, and opens an image of each fate at each. */
export async function sweep(name: string, workload: Workload, cuts: number, seed: number): Promise<Sweep> {
  const { records } = workload.recording;
  const disk = newDisk(workload.recording);
  const points = cutPoints(workload.recording, cuts, seededRandom(seed));
  const losses: string[] = [];
  let applied = 0;
  for (const point of points) {
    for (const { operation } of records.slice(applied, point)) disk.apply(operation);
    applied = point;
    const position = records[point - 1]?.end ?? 0;
    const images = FATES.map((fate, i) => imageOf(disk, fate, seededRandom(seed + point * FATES.length + i)));
    const lost = await Promise.all(images.map((image) => lossesOf(workload, image, position)));
    const found = lost.flatMap((some, i) => {
      if (some.length === 0) return [];
      const kept = join(KEPT, name, FATES[i] ?? "");
      if (losses.length === 0) keep(images[i] ?? new Map(), kept);
      const more = some.length > MAX_LOSSES_SHOWN ? ` and ${some.length - MAX_LOSSES_SHOWN} more` : "";
      const shown = some.slice(0, MAX_LOSSES_SHOWN).join("; ");
      return [`${name}, after record ${point} of ${records.length}, kept ${FATES[i]}: ${shown}${more}`];
    });
    losses.push(...found);
  }
  return { cuts: points.length, images: points.length * FATES.length, losses };
}

async function lossesOf(workload: Workload, image: Image, position: number): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "raft-powerloss-"));
  try {
    writeImage(image, folder);
    return await workload.losses(folder, position);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function keep(image: Image, folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeImage(image, folder);
}
