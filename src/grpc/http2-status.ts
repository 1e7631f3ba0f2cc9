import { constants, type OutgoingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import type { Metadata, status } from "@grpc/grpc-js";

/** With which a response begins. */
export const RESPONSE_HEADERS: Readonly<OutgoingHttpHeaders> = {
  ":status": 200,
  "content-type": "application/grpc+proto",
};

/** How a call ends. */
export interface CallStatus {
  readonly code: status;
  readonly details: string;
  readonly metadata?: Metadata;
}

/** Answers a call that has no response yet with nothing but a status, and takes nothing more of it. */
export function answerWithStatus(stream: ServerHttp2Stream, { code, details, metadata }: CallStatus): void {
  stream.respond(
    {
      ...RESPONSE_HEADERS,
      "grpc-status": String(code),
      "grpc-message": encodeURI(details),
      ...metadata?.toHttp2Headers(),
    },
    { endStream: true },
  );
  stream.close(constants.NGHTTP2_NO_ERROR);
}
