import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes any free one. */
  readonly port: number;
  /** Why the node does not take part, for people; "" when it does. */
  readonly notReadyReason: () => string;
}

export interface HttpServer {
  readonly port: number;
  /** Ends the connections that are open. */
  close(): Promise<void>;
}

/** Probes send a line or two; whoever sends more or slower than this is no probe. */
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_CONNECTIONS = 256;
const REQUEST_TIMEOUT_MS = 5_000;

/**
 * Serves `/livez` (the process turns its event loop) and `/readyz` (the node takes part). Rejects with Node's own error
 * when the address can't be taken.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const limits = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: REQUEST_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    keepAliveTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: 1_000,
  };
  const server = createServer(limits, (request, response) => onRequest(request, response, options));
  server.maxConnections = MAX_CONNECTIONS;
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address();
  return {
    port: bound !== null && typeof bound === "object" ? bound.port : options.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function onRequest(request: IncomingMessage, response: ServerResponse, { notReadyReason }: HttpServerOptions): void {
  // Nothing here takes a body.
  request.resume();
  const path = (request.url ?? "").split("?", 1)[0];
  if (path !== "/livez" && path !== "/readyz") return answer(response, 404, "not found: only /livez and /readyz are");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return answer(response, 405, "only GET and HEAD are allowed");
  }
  const reason = path === "/readyz" ? notReadyReason() : "";
  answer(response, reason === "" ? 200 : 503, reason === "" ? "ok" : reason);
}

function answer(response: ServerResponse, status: number, text: string): void {
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  response.writeHead(status, headers).end(`${text}\n`);
}
