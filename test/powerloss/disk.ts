import { basename, dirname } from "node:path";
import type { Operation } from "./journal.ts";

/** A change of one file that no sync has made durable yet. */
export type Change =
  | { readonly kind: "write"; readonly at: number; readonly bytes: Buffer }
  | { readonly kind: "truncate"; readonly size: number };

/** A name that came or went in a directory, not durable yet. `inode` is undefined when it went. */
export interface NameChange {
  readonly name: string;
  readonly inode: number | undefined;
}

export interface File {
  readonly kind: "file";
  durable: Buffer;
  changes: Change[];
}

export interface Directory {
  readonly kind: "directory";
  readonly durable: Map<string, number>;
  changes: NameChange[];
}

/**
 * A disk behind a cache, as POSIX allows it to be: of what changed after the last sync of that very file or directory a
 * loss of power keeps anything or nothing. The sync of a file does not make its name durable, only that of its directory
 * does; file systems commonly promise more.
 */
export class Disk {
  readonly root: number;
  readonly nodes = new Map<number, File | Directory>();
  /** By path, in the cache. */
  readonly #inodes = new Map<string, number>();

  constructor(rootPath: string, root: number) {
    this.root = root;
    this.nodes.set(root, { kind: "directory", durable: new Map(), changes: [] });
    this.#inodes.set(rootPath, root);
  }

  apply(operation: Operation): void {
    switch (operation.kind) {
      case "createFile":
        return this.#create(operation.path, operation.inode, { kind: "file", durable: Buffer.alloc(0), changes: [] });
      case "createDirectory":
        return this.#create(operation.path, operation.inode, { kind: "directory", durable: new Map(), changes: [] });
      case "remove":
        this.#inodes.delete(operation.path);
        this.#parent(operation.path).changes.push({ name: basename(operation.path), inode: undefined });
        return;
      case "rename":
        return this.#rename(operation.from, operation.to);
      case "write":
        this.#file(operation.inode).changes.push({ kind: "write", at: operation.at, bytes: operation.bytes });
        return;
      case "truncate":
        this.#file(operation.inode).changes.push({ kind: "truncate", size: operation.size });
        return;
      case "sync":
        return this.#sync(operation.inode);
    }
  }

  /** The last part of the path of a file that has one, for a report. */
  nameOf(inode: number): string {
    for (const [path, found] of this.#inodes) if (found === inode) return basename(path);
    return "a file without a name";
  }

  #create(path: string, inode: number, node: File | Directory): void {
    this.nodes.set(inode, node);
    this.#inodes.set(path, inode);
    this.#parent(path).changes.push({ name: basename(path), inode });
  }

  /** Two changes of names, of which a loss of power may keep either: more than POSIX allows. */
  #rename(from: string, to: string): void {
    const inode = this.#inodes.get(from);
    if (inode === undefined) throw new Error(`the making of ${from} is not in the journal`);
    this.#inodes.delete(from);
    this.#inodes.set(to, inode);
    this.#parent(from).changes.push({ name: basename(from), inode: undefined });
    this.#parent(to).changes.push({ name: basename(to), inode });
  }

  #sync(inode: number): void {
    const node = this.nodes.get(inode);
    if (node === undefined) throw new Error(`a sync of inode ${inode}, whose making is not in the journal`);
    if (node.kind === "file") node.durable = changed(node.durable, node.changes);
    else applyNames(node.durable, node.changes);
    node.changes = [];
  }

  #file(inode: number): File {
    const node = this.nodes.get(inode);
    if (node?.kind !== "file") throw new Error(`a change of inode ${inode}, whose making is not in the journal`);
    return node;
  }

  #parent(path: string): Directory {
    const inode = this.#inodes.get(dirname(path));
    const node = inode === undefined ? undefined : this.nodes.get(inode);
    if (node?.kind !== "directory") throw new Error(`the directory of ${path} is not in the journal`);
    return node;
  }
}

/** The bytes after the changes. What lies between the old end and a write beyond it is zeros. */
export function changed(bytes: Buffer, changes: readonly Change[]): Buffer {
  let size = bytes.length;
  let capacity = size;
  for (const change of changes) {
    size = change.kind === "truncate" ? change.size : Math.max(size, change.at + change.bytes.length);
    capacity = Math.max(capacity, size);
  }
  const result = Buffer.alloc(capacity);
  bytes.copy(result);
  let end = bytes.length;
  for (const change of changes) {
    if (change.kind === "write") {
      change.bytes.copy(result, change.at);
      end = Math.max(end, change.at + change.bytes.length);
    } else {
      result.fill(0, change.size, Math.max(end, change.size));
      end = change.size;
    }
  }
  return result.subarray(0, size);
}

export function applyNames(names: Map<string, number>, changes: readonly NameChange[]): void {
  for (const { name, inode } of changes) {
    if (inode === undefined) names.delete(name);
    else names.set(name, inode);
  }
}
