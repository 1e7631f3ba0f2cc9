import { setLogger } from "@grpc/grpc-js";

/** Where the services write their events, one line each; a pino logger is one. */
export interface Log {
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
}

/** What grpc-js itself has to say goes to `log`, too; without it it writes to the standard error. For the whole process. */
export function takeGrpcLog(log: Log): void {
  const line = (...words: unknown[]): void => log.debug({ detail: words.join(" ") }, "grpc");
  setLogger({ error: line, info: line, debug: line });
}
