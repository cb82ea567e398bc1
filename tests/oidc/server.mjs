// A real OAuth2 server on loopback, for the tests: oidc-provider, which is certified and strict,
// does the answering. Prints "ready PORT" once it listens.
//
//     node tests/oidc/server.mjs --token-life 600
//
// POST /token, /token/introspection and /token/revocation are its own; GET /thing asks for a
// token. GET /_control/stats counts; POST /_control/set {"extra": {…}} puts more into a token
// answer.

import { createServer } from "node:http";
import { parseArgs } from "node:util";

import Provider from "oidc-provider";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    "token-life": { type: "string", default: "600" }, // seconds
    "until-stdin-closes": { type: "boolean", default: false },
  },
});

// Its advice for production, on the standard output too.
console.info = () => {};
console.warn = () => {};

const client = (client_id, client_secret, token_endpoint_auth_method) => ({
  client_id,
  client_secret,
  token_endpoint_auth_method,
  grant_types: ["client_credentials"],
  response_types: [],
  redirect_uris: [],
});

const BASIC = "client_secret_basic";
const clients = [
  client("oidc-client", "oidc-secret", BASIC),
  // The server decodes what comes in a Basic header, as RFC 6749, 2.3.1 says. So the first is
  // known only to who encodes it, and the second to who sends "raw%2Bclient" and "s%2Bcret" as
  // they are.
  client("odd+client", "s%2Bcret +%25/&=?", BASIC),
  client("raw+client", "s+cret", BASIC),
  client("post+client", "s%2Bcret +%25/&=?", "client_secret_post"),
];

const requests = {};
const errors = {};
let extra = {};

const count = (of, key) => {
  of[key] = (of[key] ?? 0) + 1;
};

function start(server) {
  const provider = new Provider(`http://127.0.0.1:${server.address().port}`, {
    clients,
    ttl: { ClientCredentials: Number(options["token-life"]) },
    cookies: { keys: ["of no use here"] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
    },
  });
  provider.use(async (ctx, next) => {
    const { method, path } = ctx;
    if (path === "/_control/stats") {
      ctx.body = { requests, errors };
      return;
    }
    if (path === "/_control/set" && method === "POST") {
      ({ extra } = JSON.parse(await text(ctx.req)));
      ctx.body = {};
      return;
    }
    count(requests, path);
    if (path === "/thing") {
      await thing(provider, ctx);
      return;
    }
    await next();
    if (path !== "/token") return;
    if (ctx.status === 200) ctx.body = { ...ctx.body, ...extra };
    else count(errors, `${ctx.status} ${ctx.body?.error}`);
  });
  server.on("request", provider.callback());
}

async function text(request) {
  let body = "";
  for await (const part of request.setEncoding("utf8")) body += part;
  return body;
}

// What a token is for: RFC 6750's answers, by what the provider itself knows of the token.
async function thing(provider, ctx) {
  const value = /^Bearer (.+)$/.exec(ctx.get("authorization"))?.[1];
  const token = value && (await provider.ClientCredentials.find(value));
  if (!token) {
    ctx.status = 401;
    ctx.set("www-authenticate", 'Bearer error="invalid_token"');
    ctx.body = { error: "invalid_token" };
    return;
  }
  ctx.body = { client: token.clientId };
}

const server = createServer();
server.listen(Number(options.port), "127.0.0.1", () => {
  start(server);
  console.log("ready", server.address().port);
});
if (options["until-stdin-closes"]) {
  process.stdin.on("close", () => process.exit(0)).resume();
}
