import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Frame } from "../../src/raft/types.ts";
import type { DiskWrite, Storage } from "../../src/storage/storage.ts";
import {
  bytesOf,
  commands,
  LogModel,
  noOp,
  OWNER,
  read,
  saveBootstrapped,
  saveMember,
  saveSessions,
  scriptedWrite,
  seededRandom,
  write,
} from "./support.ts";

/** A disk that belongs to `OWNER`, empty at first. It is open at most once at a time. */
export interface TestDisk {
  open(): Promise<Storage>;
  remove(): Promise<void>;
}

/** What every implementation of the port promises. */
export function describeStorageContract(name: string, makeDisk: () => Promise<TestDisk>): void {
  describe(`${name}: the storage contract`, () => {
    let disk: TestDisk;
    let storage: Storage;

    beforeEach(async () => {
      disk = await makeDisk();
      storage = await open();
    });

    afterEach(async () => {
      await storage.close();
      await disk.remove();
    });

    /** An unexpected failure ends the test run instead of a silent wait. */
    async function open(): Promise<Storage> {
      const opened = await disk.open();
      opened.onFailure = (error) => {
        throw error;
      };
      return opened;
    }

    async function reopen(): Promise<void> {
      await storage.close();
      storage = await open();
    }

    async function expectLog(model: LogModel): Promise<void> {
      expect(storage.recovered.hardState).toEqual(model.hardState);
      expect(storage.recovered.lastIndex).toBe(model.lastIndex);
      expect(storage.recovered.termStarts).toEqual(model.termStarts);
      if (model.lastIndex === 0) return;
      const frames = await read(storage, 1, model.lastIndex);
      expect(bytesOf(frames).equals(bytesOf(model.entries(1, model.lastIndex)))).toBe(true);
    }

    it("starts empty, with a random incarnation and the bootstrap voters", async () => {
      expect(storage.recovered).toMatchObject({
        bootstrapVoters: OWNER.bootstrapVoters,
        bootstrapped: false,
        members: [],
        hardState: { currentTerm: 0, votedFor: "" },
        base: { index: 0, term: 0 },
        lastIndex: 0,
        termStarts: [],
      });
      expect(storage.recovered.incarnation).toHaveLength(16);
      const incarnation = Buffer.from(storage.recovered.incarnation);
      await reopen();
      expect(Buffer.from(storage.recovered.incarnation).equals(incarnation)).toBe(true);
    });

    it("gives each directory another incarnation", async () => {
      const other = await makeDisk();
      const otherStorage = await other.open();
      expect(otherStorage.recovered.incarnation).not.toEqual(storage.recovered.incarnation);
      await otherStorage.close();
      await other.remove();
    });

    it("finds term, vote and entries again", async () => {
      await write(storage, { hardState: { currentTerm: 3, votedFor: "n2" }, frames: [noOp(1, 2), commands(2, 3, 5)] });
      await reopen();
      expect(storage.recovered).toMatchObject({
        hardState: { currentTerm: 3, votedFor: "n2" },
        lastIndex: 6,
        termStarts: [
          { index: 1, term: 2 },
          { index: 2, term: 3 },
        ],
      });
      expect(await read(storage, 1, 6)).toMatchObject([noOp(1, 2), commands(2, 3, 5)].map(plain));
    });

    it("keeps what a write leaves out", async () => {
      await write(storage, { hardState: { currentTerm: 1, votedFor: "n1" } });
      await write(storage, { frames: [commands(1, 1, 2)] });
      await write(storage, { hardState: { currentTerm: 2, votedFor: "" } });
      await reopen();
      expect(storage.recovered).toMatchObject({ hardState: { currentTerm: 2, votedFor: "" }, lastIndex: 2 });
    });

    it("leaves the caller's memory alone", async () => {
      const frame = commands(1, 1, 3);
      const before = Buffer.from(frame.bytes);
      await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [frame] });
      expect(Buffer.from(frame.bytes).equals(before)).toBe(true);
      expect(frame.ends).toHaveLength(3);
    });

    it("reports writes in the order in which they were given", async () => {
      const order: number[] = [];
      const turns = Array.from({ length: 20 }, (_, i) => i + 1);
      await Promise.all(
        turns.map((n) => write(storage, { hardState: { currentTerm: n, votedFor: "" } }).then(() => order.push(n))),
      );
      expect(order).toEqual(turns);
    });

    it("reads every write that was reported done", async () => {
      await write(storage, { hardState: { currentTerm: 1, votedFor: "" } });
      for (let index = 1; index <= 30; index++) {
        await write(storage, { frames: [commands(index, 1, 1)] });
        expect(await read(storage, index, index)).toMatchObject([plain(commands(index, 1, 1))]);
      }
    });

    it("gives fewer entries, or none, where a range that isn't committed was truncated meanwhile", async () => {
      await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(1, 1, 3)] });
      const readTo5 = (first: number): Promise<readonly Frame[]> =>
        new Promise((resolve) => storage.read({ first, last: 5, maxBytes: 1e6, isCommitted: false }, resolve));
      expect(await readTo5(2)).toMatchObject([{ first: 2, last: 3 }]);
      expect(await readTo5(4)).toEqual([]);
    });

    it.each([
      ["between frames", 6],
      ["in the middle of a frame", 8],
      ["of everything", 1],
    ])("replaces a tail: truncation %s", async (_title, from) => {
      await write(storage, {
        hardState: { currentTerm: 1, votedFor: "" },
        frames: [commands(1, 1, 5), commands(6, 1, 5)],
      });
      await write(storage, {
        hardState: { currentTerm: 2, votedFor: "" },
        truncateFrom: from,
        frames: [commands(from, 2, 3)],
      });
      const kept = from > 1 ? [commands(1, 1, from - 1)] : [];
      const expected = bytesOf([...kept, commands(from, 2, 3)]);
      expect(bytesOf(await read(storage, 1, from + 2)).equals(expected)).toBe(true);
      await reopen();
      expect(storage.recovered.lastIndex).toBe(from + 2);
      expect(storage.recovered.termStarts).toEqual(
        from === 1
          ? [{ index: 1, term: 2 }]
          : [
              { index: 1, term: 1 },
              { index: from, term: 2 },
            ],
      );
      expect(bytesOf(await read(storage, 1, from + 2)).equals(expected)).toBe(true);
    });

    it("truncates without appending, also a term's only entry", async () => {
      await write(storage, { hardState: { currentTerm: 4, votedFor: "" }, frames: [commands(1, 1, 4), noOp(5, 4)] });
      await write(storage, { truncateFrom: 5 });
      await reopen();
      expect(storage.recovered).toMatchObject({ lastIndex: 4, termStarts: [{ index: 1, term: 1 }] });
      await write(storage, { truncateFrom: 1 });
      await reopen();
      expect(storage.recovered).toMatchObject({ lastIndex: 0, termStarts: [] });
    });

    it("reads at least one entry and otherwise as many as fit", async () => {
      const frames = [commands(1, 1, 5, 100), commands(6, 1, 5, 100)];
      await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames });
      const size = commands(1, 1, 1, 100).bytes.length;
      const lengths = async (first: number, last: number, maxBytes: number) =>
        (await read(storage, first, last, maxBytes)).map((frame) => [frame.first, frame.last]);
      expect(await lengths(1, 10, 0)).toEqual([[1, 1]]);
      expect(await lengths(3, 10, 2 * size - 1)).toEqual([[3, 3]]);
      expect(await lengths(3, 10, 2 * size)).toEqual([[3, 4]]);
      expect(await lengths(3, 10, 5 * size)).toEqual([
        [3, 5],
        [6, 7],
      ]);
      expect(await lengths(5, 10, 2 * size - 1)).toEqual([[5, 5]]);
      expect(await lengths(2, 7, 1e6)).toEqual([
        [2, 5],
        [6, 7],
      ]);
    });

    it("keeps entries of 1 MiB", async () => {
      const frame = commands(1, 1, 3, 1024 * 1024);
      await write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [frame] });
      expect(bytesOf(await read(storage, 1, 3)).equals(frame.bytes)).toBe(true);
      expect((await read(storage, 1, 3, 2 ** 21)).map(({ first, last }) => [first, last])).toEqual([[1, 1]]);
    });

    it("remembers members, each as it was saved last, and the bootstrap", async () => {
      const member = { id: "n2", incarnation: new Uint8Array(16).fill(9), clientAddress: "a:1", peerAddress: "a:2" };
      await saveMember(storage, { ...member, id: "n3" });
      await saveMember(storage, member);
      await saveMember(storage, { ...member, clientAddress: "b:1" });
      await reopen();
      expect(storage.recovered.members).toEqual([
        { ...member, clientAddress: "b:1" },
        { ...member, id: "n3" },
      ]);
      expect(storage.recovered.bootstrapped).toBe(false);
      await saveBootstrapped(storage);
      await reopen();
      expect(storage.recovered.bootstrapped).toBe(true);
      expect(storage.recovered.members).toHaveLength(2);
    });

    it("remembers the checkpoint of the sessions that was saved last", async () => {
      await write(storage, { hardState: { currentTerm: 1, votedFor: "n1" }, frames: [commands(1, 1, 5)] });
      expect(storage.recovered.sessions).toBeUndefined();
      await saveSessions(storage, { index: 2, bytes: Uint8Array.of(1, 2) });
      await saveSessions(storage, { index: 4, bytes: Uint8Array.of(3) });
      await reopen();
      expect(storage.recovered.sessions).toEqual({ index: 4, bytes: Uint8Array.of(3) });
    });

    it("finishes the writes in progress when it is closed", async () => {
      const finished: string[] = [];
      void write(storage, { hardState: { currentTerm: 1, votedFor: "" }, frames: [commands(1, 1, 3)] }).then(() =>
        finished.push("first"),
      );
      void write(storage, { frames: [commands(4, 1, 3)] }).then(() => finished.push("second"));
      await reopen();
      expect(finished).toEqual(["first", "second"]);
      expect(storage.recovered.lastIndex).toBe(6);
    });

    it("holds what any sequence of writes leaves", async () => {
      const model = new LogModel();
      const random = seededRandom(4711);
      for (let n = 1; n <= 120; n++) {
        const turn: DiskWrite = scriptedWrite(n, model.lastIndex);
        model.apply(turn);
        await write(storage, turn);
        if (model.lastIndex > 0) await expectRange(model, 1 + random(model.lastIndex), random(2000));
        if (n % 40 === 0) {
          await reopen();
          await expectLog(model);
        }
      }
    });

    /** A read is contiguous, within its bound or a single entry, and no entry more would have fitted. */
    async function expectRange(model: LogModel, first: number, maxBytes: number): Promise<void> {
      const frames = await read(storage, first, model.lastIndex, maxBytes);
      const last = frames.at(-1)?.last ?? 0;
      const bytes = bytesOf(frames);
      expect(bytes.equals(bytesOf(model.entries(first, last)))).toBe(true);
      expect(frames.map((frame) => frame.first)).toEqual([
        first,
        ...frames.slice(0, -1).map((frame) => frame.last + 1),
      ]);
      if (last > first) expect(bytes.length).toBeLessThanOrEqual(maxBytes);
      const [following] = model.entries(last + 1, last + 1);
      if (following !== undefined) expect(bytes.length + following.bytes.length).toBeGreaterThan(maxBytes);
    }
  });
}

/** A frame with plain arrays of the types that a comparison expects. */
function plain<T extends { readonly bytes: Uint8Array; readonly ends: Uint32Array }>(frame: T): T {
  return { ...frame, bytes: Uint8Array.from(frame.bytes), ends: Uint32Array.from(frame.ends) };
}
