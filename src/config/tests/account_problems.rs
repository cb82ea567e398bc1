//! Bad accounts and the exact words about them.

use super::{problems::assert_problems, *};

#[test]
fn base_urls() {
    let table = [
        (
            "api.certn.co",
            "is not an absolute URL (relative URL without a base): write https://host",
        ),
        ("ftp://h", "has the scheme ftp: write https://host"),
        ("https://u:hunter2@h", "has a user or password in it: give them as secrets"),
        ("https://h/?a=1", "has a query or fragment: write only scheme, host and path"),
        ("https://h/#a", "has a query or fragment: write only scheme, host and path"),
        (
            "http://h",
            "is plain http to another host, where secrets would travel in clear: write https, or \
             allow_insecure_http = true in the account",
        ),
        (
            "http://127.0.0.1.example.com",
            "is plain http to another host, where secrets would travel in clear: write https, or \
             allow_insecure_http = true in the account",
        ),
    ];
    for (url, words) in table {
        let main = format!("[accounts.a]\nprovider = \"p\"\nbase_url = \"{url}\"\n");
        let wanted = format!("attendant.toml:3: accounts.a.base_url: {words}");
        assert_eq!(Setup::new(&main).problems(), [wanted], "{url}");
    }
    for url in [
        "https://h/path",
        "http://localhost:1",
        "http://a.localhost",
        "http://127.9.9.9",
        "http://[::1]:9",
        "http://h\"\nallow_insecure_http = true\n#\"",
    ] {
        Setup::new(&format!("[accounts.a]\nprovider = \"p\"\nbase_url = \"{url}\"\n")).config();
    }
}

#[test]
fn accounts() {
    assert_problems(&[
        (
            "[accounts.a]\ndefault = true\n",
            &[
                "attendant.toml:1: accounts.a: `provider` is missing: write provider = \"certn\" or another",
            ],
        ),
        // A bad value is not missing as well.
        (
            "[accounts.a]\nprovider = 3\n",
            &["attendant.toml:2: accounts.a.provider: expected text in quotes, found an integer"],
        ),
        (
            "[accounts.a]\nprovider = \"p\"\nlimits = [\"240/1m\", \"many\"]\nbudget = \"b\"\n",
            &[
                "attendant.toml:3: accounts.a.limits[1]: `many` is not a limit: write requests per window, such as \"240/1m\" or \"14400/24h\"",
                "attendant.toml:4: accounts.a.budget: no budget is named `b`: write [budgets.b]",
            ],
        ),
        (
            "[accounts.a]\nprovider = \"p\"\ndefault = true\n[accounts.b]\nprovider = \"p\"\ndefault = true\n",
            &["attendant.toml:6: accounts.b.default: `a` is already the default of `p`"],
        ),
        (
            "[accounts.a]\nprovider = \"p\"\nsecrets.s = \"hunter2\"\nsecrets.t = { file = \"a\", env = \"B\" }\nsecrets.u = { expires = 2026-12-31 }\nsecrets.v = { file = \"\" }\n[accounts.a.secrets.w]\nenv = \"A=B\"\nexpires = \"soon\"\n",
            &[
                "attendant.toml:3: accounts.a.secrets.s: expected { credential = \"…\" } or { file = \"…\" } or { env = \"…\" }, found text; the value itself never stands in the configuration",
                "attendant.toml:4: accounts.a.secrets.t: write exactly one of { credential = \"…\" }, { file = \"…\" } or { env = \"…\" }",
                "attendant.toml:5: accounts.a.secrets.u: write exactly one of { credential = \"…\" }, { file = \"…\" } or { env = \"…\" }",
                "attendant.toml:6: accounts.a.secrets.v.file: is an empty path",
                "attendant.toml:8: accounts.a.secrets.w.env: is not the name of an environment variable",
                "attendant.toml:9: accounts.a.secrets.w.expires: `soon` is not a day or time: write 2026-12-31 or 2026-12-31T23:59:59Z",
            ],
        ),
        (
            "[accounts.a]\nprovider = \"p\"\nparams = { n = nan, Big = 1 }\n",
            &[
                "attendant.toml:3: accounts.a.params.n: expected a finite number",
                "attendant.toml:3: accounts.a.params.Big: `Big` is not a name: write lower-case letters, digits and _",
            ],
        ),
    ]);
}

#[test]
fn sinks() {
    assert_problems(&[
        (
            "[accounts.a]\nprovider = \"p\"\n[[accounts.a.sinks]]\ncredential = \"c\"\nfile = \"/f\"\n[[accounts.a.sinks]]\nmode = \"rw\"\ntemplate = \"{{ value\"\non_expire = \"burn\"\non_change = [\"touch\"]\n",
            &[
                "attendant.toml:6: accounts.a.sinks[1]: `credential` is missing: write credential = \"…\"",
                "attendant.toml:6: accounts.a.sinks[1]: `file` is missing: write file = \"/absolute/path\"",
                "attendant.toml:7: accounts.a.sinks[1].mode: `rw` is not a file mode: write octal digits, such as \"0640\"",
                "attendant.toml:8: accounts.a.sinks[1].template: is not a template: syntax error: unexpected end of input, expected end of variable block (in <string>:1)",
                "attendant.toml:9: accounts.a.sinks[1].on_expire: `burn` is not a rule for expiry: write keep, remove",
                "attendant.toml:10: accounts.a.sinks[1].on_change: the program must be an absolute path",
            ],
        ),
        (
            "[accounts.a]\nprovider = \"p\"\nsinks = [{ credential = \"c\", file = \"/f\" },\n{ credential = \"d\", file = \"/f\" }]\n",
            &["attendant.toml:4: accounts.a.sinks[1].file: another sink writes this file"],
        ),
    ]);
}
