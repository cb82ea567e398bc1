//! One mistake each, and all that is said about it.

pub(super) const CALL: &str = "[jobs.k]\nshape = \"call\"\nrequest = { path = \"/x\" }\n";
const FOLLOW: &str = "[jobs.k]\nshape = \"follow\"\nrequest = { path = \"/x\" }\n";

/// How a definition goes on after the head, where the mistake is, and the problem.
pub(super) const ALL: &[(&str, &str, &str)] = &[
    (
        "",
        "timeout = \"30\"",
        "acme.toml:3: timeout: `30` is not a duration: write such as \"30s\", \"12h\" or \"60d\"",
    ),
    ("", "timeout = 30", "acme.toml:3: timeout: must be a string, not an integer"),
    ("", "jobs = 30", "acme.toml:3: jobs: must be a table, not an integer"),
    ("", "credentials = []", "acme.toml:3: credentials: must be a table, not an array"),
    (
        "",
        "\nlimits = [\n  \"5/1s\",\n  \"5\",\n]",
        "acme.toml:6: limits[1]: `5` is not a limit: write requests per window, such as \"240/1m\" or \"14400/24h\"",
    ),
    (
        "",
        "base_url = \"acme.com\"",
        "acme.toml:3: base_url: must be a URL such as \"https://api.example.com/v1\", without a query",
    ),
    (
        "",
        "hosts = { live = \"ftp://acme.com\" }",
        "acme.toml:3: hosts.live: must be a URL such as \"https://api.example.com/v1\", without a query",
    ),
    (
        "",
        "auth = { bearer = \"{{ credentials.token }}\" }",
        "acme.toml:3: auth.bearer: `credentials.token` is not declared: credentials has nothing (none are declared)",
    ),
    (
        "",
        "[jobs.\"A b\"]\nshape = \"call\"",
        "acme.toml:3: jobs.\"A b\": a name is made of a-z, 0-9 and _",
    ),
    (
        "[jobs.k]\n",
        "shape = \"poll\"\nrequest = { path = \"/x\" }",
        "acme.toml:4: jobs.k.shape: `poll` is not allowed here: use call, download or follow",
    ),
    (
        "[jobs.k]\n",
        "shape = \"rotate\"\nrequest = { path = \"/x\" }",
        "acme.toml:4: jobs.k.shape: exchange and rotate keep credentials: write it as [credentials.NAME]",
    ),
    (
        "[jobs.k]\n",
        "shape = \"call\"",
        "acme.toml:3: jobs.k: `request` is missing: what to send, such as { path = \"/users/\" }",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"x\" }",
        "acme.toml:5: jobs.k.request.path: a path starts with one `/`; the host is the account's",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"/a/../b\" }",
        "acme.toml:5: jobs.k.request.path: a path may not contain `.` or `..` as a segment",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { method = \"get\", path = \"/\" }",
        "acme.toml:5: jobs.k.request.method: `get` is not allowed here: use GET, POST, PUT, PATCH, DELETE or HEAD",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"/{{ args.id }}\" }",
        "acme.toml:5: jobs.k.request.path: `args.id` is not declared: args has nothing (none are declared)",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"/\", headers = { A = \"{{ secrets.x }}\" } }",
        "acme.toml:5: jobs.k.request.headers.A: `secrets.x` is not declared: secrets has nothing (none are declared)",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"/\", json = \"1\", form = {} }",
        "acme.toml:5: jobs.k.request.form: a request has one body: give `json` or `form`",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "request = { path = \"/\", headers = { \"A b\" = \"\" } }",
        "acme.toml:5: jobs.k.request.headers.\"A b\": is not a header name",
    ),
    (
        "[jobs.k]\nshape = \"call\"\n",
        "[jobs.k.request]\npath = \"/{{ args \"",
        "acme.toml:6: jobs.k.request.path: syntax error: unexpected end of input, expected end of variable block",
    ),
    (
        CALL,
        "success = \"http.code == 201\"",
        "acme.toml:6: jobs.k.success: `http.code` is not declared: http has headers or status",
    ),
    (
        CALL,
        "success = \"respose.ok\"",
        "acme.toml:6: jobs.k.success: `respose` is not known here: use args, body, http, params, response or status",
    ),
    (
        CALL,
        "status = \"status\"",
        "acme.toml:6: jobs.k.status: `status` is not known here: use args, body, http, params or response",
    ),
    (
        CALL,
        "success = \"body|uper == 'A|b is c'\"",
        "acme.toml:6: jobs.k.success: there is no filter `uper`",
    ),
    (
        CALL,
        "success = \"body is not numeric\"",
        "acme.toml:6: jobs.k.success: there is no test `is numeric`",
    ),
    (
        CALL,
        "success = \"debug()\"",
        "acme.toml:6: jobs.k.success: `debug` is not known here: use args, body, http, params, response or status",
    ),
    (
        CALL,
        "unti = \"1\"",
        "acme.toml:6: jobs.k.unti: `unti` is not a key here: use args, auth, max_body, max_errors, pages, reconcile, repeat, request, retry_after, retry_when, secret_result, sets, shape, status, success, then, timeout or title",
    ),
    (CALL, "until = \"true\"", "acme.toml:6: jobs.k.until: `until` belongs to shape follow"),
    (
        CALL,
        "repeat = \"once\"",
        "acme.toml:6: jobs.k.repeat: `once` is not allowed here: use safe or never",
    ),
    (
        CALL,
        "reconcile = { request = { path = \"/\" }, found = \"response\" }",
        "acme.toml:6: jobs.k.reconcile: `reconcile` needs repeat = \"never\": other requests are sent again",
    ),
    (
        CALL,
        "repeat = \"never\"\nsets = { secret = \"pass\", to = \"'new'\" }\n[secrets]\npass = \"Password\"",
        "acme.toml:7: jobs.k.sets: `sets` would send a repeat = \"never\" request again",
    ),
    (CALL, "max_errors = 0", "acme.toml:6: jobs.k.max_errors: must be between 1 and 4294967295"),
    (
        CALL,
        "args = { a = { type = \"text\" } }",
        "acme.toml:6: jobs.k.args.a.type: `text` is not allowed here: use string, integer, number, boolean, object, array or id",
    ),
    (
        CALL,
        "args = { a = { enum = [\"x\", \"y\"], default = \"z\" } }",
        "acme.toml:6: jobs.k.args.a.default: must be x or y",
    ),
    (
        CALL,
        "args = { a = { type = \"id\", size = 3 } }",
        "acme.toml:6: jobs.k.args.a.size: `size` is not a key here: use default, enum, optional, personal, secret, title or type",
    ),
    (
        CALL,
        "[[jobs.k.then]]\nkind = \"acme.l\"",
        "acme.toml:7: jobs.k.then[0].kind: there is no kind `acme.l`: use acme.k",
    ),
    (
        CALL,
        "[[jobs.k.then]]\nkind = \"certn.report\"\nargs.id = \"1\"\nargs.industry = \"'hr'\"",
        "acme.toml:7: jobs.k.then[0].kind: `args.format` is missing: certn.report requires it",
    ),
    (
        CALL,
        "[[jobs.k.then]]\nkind = \"acme.k\"\n[jobs.k.then.args]\nid = \"1\"",
        "acme.toml:9: jobs.k.then[0].args.id: `id` is not an argument of acme.k: use nothing (none are declared)",
    ),
    (
        FOLLOW,
        "deadline = \"1d\"",
        "acme.toml:3: jobs.k: `until` is missing: a follow says when it is done, \"status == 'DONE'\"",
    ),
    (
        FOLLOW,
        "until = \"true\"",
        "acme.toml:3: jobs.k: `deadline` is missing: a follow says when to give up, such as \"60d\"",
    ),
    (
        FOLLOW,
        "until = \"true\"\ndeadline = \"1d\"\nunique = [\"id\"]\nargs = { ref = { type = \"id\" } }",
        "acme.toml:8: jobs.k.unique[0]: `id` is not an argument of this kind: use ref",
    ),
    (
        FOLLOW,
        "until = \"true\"\ndeadline = \"1d\"\nrepeat = \"never\"",
        "acme.toml:8: jobs.k.repeat: `repeat` belongs to shape call: the others only read",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\nvalue = \"response.t\"\nrequest = { path = \"/{{ args.a }}\" }",
        "acme.toml:6: credentials.t.request.path: `args` is not known here: use credentials, params, refresh_token or secrets",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\nvalue = \"response.t\"\nrequest = { path = \"/{{ credentials.t }}\" }",
        "acme.toml:3: credentials.t: `credentials.t` is needed to obtain itself",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\nvalue = \"response.t\"\nrequest = { path = \"/{{ refresh_token }}\" }",
        "acme.toml:3: credentials.t: uses `refresh_token`, but no `refresh_token = …` takes one of an answer",
    ),
    (
        "[credentials.t]\n",
        "shape = \"rotate\"\nvalue = \"response.t\"\ncreate = { path = \"/\" }",
        "acme.toml:3: credentials.t: says when to rotate: `expires_in`, `expires_at`, `jwt_exp` or `ttl`",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\nvalue = \"response.t\"\nrequest = { path = \"/\" }\nrevoke = { path = \"/\", headers = { X = \"{{ credentials.t }}\" } }",
        "acme.toml:3: credentials.t: needs itself: t needs t",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\ngiven = \"x\"\nexpires_in = \"1\"",
        "acme.toml:6: credentials.t.expires_in: `given` has no answer to read: use `jwt_exp` or `ttl`",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\ngiven = \"x\"\nretry_after = \"1\"",
        "acme.toml:6: credentials.t.retry_after: `given` is the value itself: nothing is asked",
    ),
    (
        "[credentials.t]\n",
        "shape = \"exchange\"\nvalue = \"response.t\"\nrequest = { path = \"/\" }\nretry_after = \"args.x\"",
        "acme.toml:7: credentials.t.retry_after: `args` is not known here: use body, credentials, http, params, refresh_token, response or secrets",
    ),
    (
        "secrets = { a = \"A\" }\n",
        "[webhook]\nsignature = { header = \"S\", scheme = \"t-v1-hmac-sha256\", secret = \"b\" }\nwakes = { kind = \"certn.applicant\" }",
        "acme.toml:5: webhook.signature.secret: secret `b` is not declared: [secrets] has a",
    ),
    (
        "secrets = { a = \"A\" }\n",
        "[webhook]\nsignature = { header = \"S\", scheme = \"t-v1-hmac-sha256\", secret = \"a\" }\nwakes = { kind = \"certn.users\" }",
        "acme.toml:6: webhook.wakes.kind: `certn.users` is no follow: only follows wait",
    ),
    (
        "secrets = { a = \"A\" }\n",
        "auth = { bearer = \"a|b {{- secrets.a | nope -}}\" }",
        "acme.toml:4: auth.bearer: there is no filter `nope`",
    ),
    (
        CALL,
        "sets = { secret = \"pass\", to = \"'x'\" }",
        "acme.toml:6: jobs.k.sets.secret: `pass` is not in [secrets]: use nothing (none are declared)",
    ),
];
