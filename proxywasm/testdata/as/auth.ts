// Asks the upstream "auth" about each request.
export * from "@solo-io/proxy-runtime/proxy";
import {
  BaseContext,
  Context,
  FilterHeadersStatusValues,
  GrpcStatusValues,
  HeaderPair,
  RootContext,
  continue_request,
  log,
  LogLevelValues,
  registerRootContext,
  send_local_response,
  stream_context,
} from "@solo-io/proxy-runtime";

function pair(key: string, value: string): HeaderPair {
  return new HeaderPair(String.UTF8.encode(key), String.UTF8.encode(value));
}

class Auth extends RootContext {
  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  constructor(id: u32, root: Auth) {
    super(id, root);
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const token = stream_context.headers.request.get("authorization");
    this.root_context.httpCall(
      "auth",
      [pair(":method", "GET"), pair(":path", "/check"), pair(":authority", "auth"), pair("authorization", token)],
      new ArrayBuffer(0),
      [],
      500,
      this,
      (origin: BaseContext, headers: u32, size: usize, trailers: u32) => {
        const status = headers == 0 ? "" : stream_context.headers.http_callback.get(":status");
        if (status == "200") {
          stream_context.headers.request.add("x-user", "known");
          continue_request();
          return;
        }
        send_local_response(status == "" ? 503 : 401, "", String.UTF8.encode("no"), [pair("x-refused", "1")], GrpcStatusValues.InvalidCode);
      }
    );
    return FilterHeadersStatusValues.StopIteration;
  }

  onDelete(): void {
    log(LogLevelValues.info, "deleted");
  }
}

registerRootContext((id: u32) => new Auth(id), "auth");
