import { beforeEach, describe, expect, it } from "vitest";
import { seededRandom } from "../storage/support.ts";
import { Disk } from "./disk.ts";
import { type Fate, type Image, imageOf } from "./image.ts";

const ROOT = 1;
const FOLDER = 2;
const FILE = 3;

describe("the disk of the power-loss test", () => {
  let disk: Disk;

  beforeEach(() => {
    disk = new Disk("/node", ROOT);
    disk.apply({ kind: "createDirectory", inode: FOLDER, path: "/node/data" });
    disk.apply({ kind: "createFile", inode: FILE, path: "/node/data/file" });
  });

  function write(at: number, text: string): void {
    disk.apply({ kind: "write", inode: FILE, at, bytes: Buffer.from(text) });
  }

  function sync(...inodes: readonly number[]): void {
    for (const inode of inodes) disk.apply({ kind: "sync", inode });
  }

  function image(fate: Fate, seed = 1): Image {
    return imageOf(disk, fate, seededRandom(seed));
  }

  function text(fate: Fate, seed = 1): string | undefined {
    return image(fate, seed).get("data/file")?.toString();
  }

  it("may lose everything that was never synced, and may keep it", () => {
    write(0, "abc");
    expect([...image("nothing").keys()]).toEqual([""]);
    expect(text("everything")).toBe("abc");
  });

  it("keeps a synced file only under a name whose directory was synced, and the directory's", () => {
    write(0, "abc");
    sync(FILE, FOLDER);
    expect(text("nothing")).toBeUndefined();
    sync(ROOT);
    expect(text("nothing")).toBe("abc");
  });

  it("goes back to what was synced last", () => {
    write(0, "abcdef");
    sync(FILE, FOLDER, ROOT);
    write(1, "x");
    disk.apply({ kind: "truncate", inode: FILE, size: 3 });
    disk.apply({ kind: "remove", path: "/node/data/file" });
    expect(text("nothing")).toBe("abcdef");
    expect(text("everything")).toBeUndefined();
    sync(FILE);
    expect(text("nothing")).toBe("axc");
    sync(FOLDER);
    expect(text("nothing")).toBeUndefined();
  });

  it("keeps a later write without an earlier one, and a length without its bytes", () => {
    write(0, "ab");
    sync(FILE, FOLDER, ROOT);
    write(0, "xy");
    write(2, "cd");
    const found = new Set(Array.from({ length: 100 }, (_, seed) => text("subset", seed)));
    expect(found).toEqual(new Set(["ab", "xy", "abcd", "xycd", "ab\0\0", "xy\0\0"]));
  });

  it("tears a write between sectors, and only there", () => {
    sync(FILE, FOLDER, ROOT);
    write(500, "x".repeat(524));
    const found = Array.from({ length: 100 }, (_, seed) => text("sectors", seed)?.slice(500) ?? "");
    const shapes = new Set(found.map((kept) => kept.replace(/^x{12}(?=x{512}|\0|$)/, "A").replace(/x{512}$/, "B")));
    expect([...shapes].filter((shape) => /x/.test(shape))).toEqual([]);
    expect(shapes).toContain("AB");
    expect(shapes).toContain("A");
    expect(shapes).toContain("");
  });
});
