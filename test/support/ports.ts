import { createServer } from "node:net";

/**
 * A port from which on `count` are free now. Below the range from which the system takes ports for outgoing connections,
 * so that none is taken while a test's node is down.
 */
export async function freePorts(count: number): Promise<number> {
  for (;;) {
    const first = 10_000 + Math.floor(Math.random() * 2_200) * 10;
    const ports = Array.from({ length: count }, (_, offset) => first + offset);
    if ((await Promise.all(ports.map(isFree))).every((free) => free)) return first;
  }
}

const given = new Set<number>();

/**
 * A port that nobody listens on, below those that the system gives to connections: such a one might be taken before its owner
 * listens. Each is given once.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}
