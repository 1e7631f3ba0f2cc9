import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/**
 * - `open`: passes bytes on, after the delay.
 * - `cut`: breaks its connections, and each new one at once, as a host without the service does.
 * - `blackhole`: keeps its connections and passes nothing on, as a network does that loses every packet.
 */
export type LinkMode = "open" | "cut" | "blackhole";

/** A TCP proxy on loopback in front of one address, for one direction of dialing. */
export class Link {
  readonly #server: Server;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #sockets = new Set<Socket>();
  readonly #forgotten = new WeakSet<Socket>();
  #mode: LinkMode = "open";
  #delayMs = 0;

  private constructor(server: Server, target: string) {
    const [host = "", port = ""] = target.split(":");
    this.#server = server;
    this.#target = { host, port: Number(port) };
    server.on("connection", (socket) => this.#onConnection(socket));
  }

  static async listen(target: string): Promise<Link> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new Link(server, target);
  }

  get address(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("a TCP server has a port");
    return `127.0.0.1:${address.port}`;
  }

  /** Connections of a blackhole break when it ends: what was lost in between can't be made up for. */
  set(mode: LinkMode, delayMs = 0): void {
    const wasBlackhole = this.#mode === "blackhole";
    this.#mode = mode;
    this.#delayMs = delayMs;
    if (mode === "cut" || wasBlackhole) this.#breakAll();
  }

  /** New connections get through from now on; nothing ever comes of the present ones, which nobody breaks. */
  forgetConnections(): void {
    for (const socket of this.#sockets) this.#forgotten.add(socket);
    this.#mode = "open";
  }

  async close(): Promise<void> {
    this.#breakAll();
    this.#server.close();
    await once(this.#server, "close");
  }

  #breakAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #onConnection(socket: Socket): void {
    if (this.#mode === "cut") {
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    const onward = connect(this.#target.port, this.#target.host);
    this.#pass(socket, onward);
    this.#pass(onward, socket);
  }

  #pass(from: Socket, to: Socket): void {
    this.#sockets.add(from);
    from.setNoDelay(true);
    from.on("error", () => {});
    from.on("close", () => {
      this.#sockets.delete(from);
      if (!this.#forgotten.has(from)) to.destroy();
    });
    from.on("data", (chunk) => {
      if (this.#mode !== "open" || this.#forgotten.has(from)) return;
      if (this.#delayMs === 0) to.write(chunk);
      else setTimeout(() => to.write(chunk), this.#delayMs);
    });
  }
}
