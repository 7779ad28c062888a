// A plugin that adds a greeting, the text of its configuration, to every
// response, and refuses requests under /private without the header x-key.
// Its root id is "greeting".
//
//   npm install @solo-io/proxy-runtime@0.1.8 assemblyscript@0.14.13
//   npx asc greeting.ts -b greeting.wasm --use abort=abort_proc_exit --optimize
export * from "@solo-io/proxy-runtime/proxy";
import {
  Context,
  Counter,
  FilterHeadersStatusValues,
  GrpcStatusValues,
  RootContext,
  registerRootContext,
  send_local_response,
  stream_context,
} from "@solo-io/proxy-runtime";

class Greeting extends RootContext {
  // null until the plugin is configured.
  refused: Counter | null = null;

  onConfigure(size: u32): bool {
    this.refused = new Counter("greeting_refused");
    return size == 0 || super.onConfigure(size);
  }

  createContext(id: u32): Context {
    return new Stream(id, this);
  }
}

class Stream extends Context {
  root: Greeting;

  constructor(id: u32, root: Greeting) {
    super(id, root);
    this.root = root;
  }

  onRequestHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const path = stream_context.headers.request.get(":path");
    if (!path.startsWith("/private") || stream_context.headers.request.get("x-key") != "") {
      return FilterHeadersStatusValues.Continue;
    }
    this.root.refused!.increment(1);
    send_local_response(403, "", String.UTF8.encode("a key is needed\n"), [], GrpcStatusValues.InvalidCode);
    return FilterHeadersStatusValues.StopIteration;
  }

  onResponseHeaders(count: u32, end: bool): FilterHeadersStatusValues {
    const text = this.root_context.getConfiguration();
    stream_context.headers.response.add("x-greeting", text == "" ? "hello" : text);
    return FilterHeadersStatusValues.Continue;
  }
}

registerRootContext((id: u32) => new Greeting(id), "greeting");
