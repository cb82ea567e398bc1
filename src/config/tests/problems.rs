//! Bad configurations and the exact words about them.

use super::*;

pub(super) fn assert_problems(table: &[(&str, &[&str])]) {
    for (main, wanted) in table {
        assert_eq!(Setup::new(main).problems(), *wanted, "of:\n{main}");
    }
}

#[test]
fn keys_and_types() {
    assert_problems(&[
        (
            "\n[engine]\nconcurency = 3\n",
            &[
                "attendant.toml:3: engine.concurency: unknown key; allowed here: concurrency, lease, shutdown_timeout",
            ],
        ),
        (
            "job_dir = \"x\"\n[sael]\n",
            &[
                "attendant.toml:1: job_dir: unknown key; allowed here: jobs_dir, database, seal, engine, api, hooks, log, accounts, budgets, schedules, retention",
                "attendant.toml:2: sael: unknown key; allowed here: jobs_dir, database, seal, engine, api, hooks, log, accounts, budgets, schedules, retention",
            ],
        ),
        (
            "engine = 3\nlog.filter = 1\njobs_dir = [1]\n[engine]",
            &["attendant.toml:4: is not TOML: duplicate key"],
        ),
        (
            "engine = 3\nlog.filter = 1\njobs_dir = []\n",
            &[
                "attendant.toml:1: engine: expected a table, found an integer",
                "attendant.toml:2: log.filter: expected text in quotes, found an integer",
                "attendant.toml:3: jobs_dir: expected text in quotes, found an array",
            ],
        ),
        (
            "[engine]\nconcurrency = 0\nlease = \"60\"\nshutdown_timeout = 45\n",
            &[
                "attendant.toml:2: engine.concurrency: expected an integer from 1 to 10000",
                "attendant.toml:3: engine.lease: `60` is not a duration: write a number and its unit, such as \"45s\" or \"12h\"",
                "attendant.toml:4: engine.shutdown_timeout: expected text in quotes, found an integer",
            ],
        ),
        ("[engine\n", &["attendant.toml:1: is not TOML: unclosed table, expected `]`"]),
        (
            "[log]\nformat = \"xml\"\nfilter = \"a=b=c\"\n",
            &[
                "attendant.toml:2: log.format: `xml` is not a log format: write auto, journald, json, text",
                "attendant.toml:3: log.filter: is not a log filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5; write one such as \"info\"",
            ],
        ),
        (
            "[accounts.Certn]\nprovider = \"certn\"\n",
            &[
                "attendant.toml:1: accounts.Certn: `Certn` is not a name: write lower-case letters, digits and _",
            ],
        ),
        (
            "[engine]\nlease = \"4s\"\nshutdown_timeout = \"0s\"\n",
            &[
                "attendant.toml:2: engine.lease: must be from 5s to 1h",
                "attendant.toml:3: engine.shutdown_timeout: must be more than 0 and at most 1h",
            ],
        ),
    ]);
}

#[test]
fn databases_and_keys() {
    assert_problems(&[
        (
            "[database]\nurl = \"postgres://u:hunter2@h/db\"\n",
            &["attendant.toml:2: database.url: PostgreSQL is not built in yet; use sqlite://"],
        ),
        (
            "[database]\nurl = \"mysql://u:hunter2@h/db\"\nsynchronous = \"off\"\n",
            &[
                "attendant.toml:2: database.url: is not a database: write sqlite:///absolute/path, or sqlite:relative/path",
                "attendant.toml:3: database.synchronous: `off` is not a way to synchronise: write full, normal",
            ],
        ),
        (
            "[database]\nurl = \"sqlite:\"\n",
            &[
                "attendant.toml:2: database.url: names no file: write sqlite:///absolute/path, or sqlite:relative/path",
            ],
        ),
        (
            "[database]\nurl = \"sqlite://relative.db\"\n",
            &[
                "attendant.toml:2: database.url: names no file: write sqlite:///absolute/path, or sqlite:relative/path",
            ],
        ),
        (
            "[database]\nurl = \"sqlite::memory:\"\n",
            &[
                "attendant.toml:2: database.url: is in memory, where a queue would not last: name a file",
            ],
        ),
        (
            "[database]\nurl = \"sqlite:a.db?mode=ro\"\n",
            &[
                "attendant.toml:2: database.url: has parameters after `?`, which are not read: write only the path",
            ],
        ),
        (
            "[seal]\nkey = \"c2VjcmV0\"\n",
            &[
                "attendant.toml:2: seal.key: expected { credential = \"…\" } or { file = \"…\" }, found text; the value itself never stands in the configuration",
            ],
        ),
        (
            "seal.key = {}\n",
            &[
                "attendant.toml:1: seal.key: write exactly one of { credential = \"…\" } or { file = \"…\" }",
            ],
        ),
        (
            "seal.key = { env = \"KEY\" }\n",
            &[
                "attendant.toml:1: seal.key.env: unknown key; allowed here: credential, file",
                "attendant.toml:1: seal.key: write exactly one of { credential = \"…\" } or { file = \"…\" }",
            ],
        ),
        (
            "seal.key = { credential = \"../x\" }\n",
            &[
                "attendant.toml:1: seal.key.credential: is not a credential's name: write letters, digits, `.`, `_`, `-`",
            ],
        ),
    ]);
}

#[test]
fn clients() {
    let digest = "a4d8494f6b7585f871d3cb31f725cd897894262f92bc356118835bcc9ee96484";
    let token = |name: &str| {
        format!("[[api.tokens]]\nname = \"{name}\"\nsha256 = \"{digest}\"\nmay = [\"read\"]\n")
    };
    assert_problems(&[
        (
            "[api]\nlisten = \"127.0.0.1:7411\"\n",
            &[
                "attendant.toml:2: api.listen: needs at least one [[api.tokens]]: TCP shows no peer credentials",
            ],
        ),
        (
            "[api]\nlisten = \"localhost\"\n",
            &["attendant.toml:2: api.listen: invalid socket address syntax"],
        ),
        (
            "[[api.allow]]\ngroup = \"g\"\nuser = \"u\"\nmay = [\"read\", \"write\"]\n[[api.allow]]\ngroup = \"g\"\naccounts = [\"x\"]\nkinds = [\"users\"]\n",
            &[
                "attendant.toml:1: api.allow[0]: write exactly one of `user`, `uid` and `group`",
                "attendant.toml:4: api.allow[0].may[1]: `write` is not a right: write enqueue, read, results, credentials, operate",
                "attendant.toml:5: api.allow[1]: `may` is missing: write may = [\"read\"]",
                "attendant.toml:7: api.allow[1].accounts: no account is named `x`; there are: none",
                "attendant.toml:8: api.allow[1].kinds[0]: `users` is not a kind: write provider.job, such as certn.users",
            ],
        ),
        (
            "[[api.tokens]]\nname = \"a\"\nsha256 = \"hunter2\"\nmay = []\n",
            &[
                "attendant.toml:3: api.tokens[0].sha256: is not a SHA-256: write its 64 hexadecimal digits, never the token itself",
            ],
        ),
        (
            // Of `test`, and one that nobody computed.
            "[[api.tokens]]\nname = \"a\"\nmay = []\nsha256 = \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"\n[[api.tokens]]\nname = \"b\"\nmay = []\nsha256 = \"0000000000000000000000000000000000000000000000000000000000000000\"\n",
            &[
                "attendant.toml:4: api.tokens[0].sha256: is the digest of a token that anybody would guess: make `a` one with `openssl rand -hex 32`, and write the digest of it without a line end",
                "attendant.toml:8: api.tokens[1].sha256: is the digest of a token that anybody would guess: make `b` one with `openssl rand -hex 32`, and write the digest of it without a line end",
            ],
        ),
        (&(token("a") + &token("a")), &["attendant.toml:1: api.tokens: two tokens are named `a`"]),
        (
            &(token("a") + &token("b")),
            &["attendant.toml:1: api.tokens: `a` and `b` are the same token"],
        ),
        (
            &format!("[api]\nsocket = \"/{}\"\n", "s".repeat(107)),
            &[
                "attendant.toml:2: api.socket: is longer than the 107 bytes that a socket's path may have",
            ],
        ),
    ]);
}

#[test]
fn budgets_and_schedules() {
    assert_problems(&[
        (
            "[budgets.a]\n[budgets.b]\nlimits = []\n",
            &[
                "attendant.toml:1: budgets.a: `limits` is missing: write limits = [\"60/1m\"]",
                "attendant.toml:3: budgets.b.limits: a budget without limits limits nothing",
            ],
        ),
        (
            "[schedules.s]\ncron = \"0 3 * *\"\nmisfire = \"never\"\npriority = 4\naccount = \"x\"\n",
            &[
                "attendant.toml:1: schedules.s: `kind` is missing: write kind = \"provider.job\"",
                "attendant.toml:2: schedules.s.cron: has 4 fields: write five, or six with the seconds first",
                "attendant.toml:3: schedules.s.misfire: `never` is not a misfire rule: write skip, coalesce, catch_up",
                "attendant.toml:4: schedules.s.priority: expected an integer from 0 to 3",
                "attendant.toml:5: schedules.s.account: no account is named `x`; there are: none",
            ],
        ),
    ]);
}

#[test]
fn results_are_kept_long_enough_to_be_fetched() {
    assert_problems(&[(
        "[retention]\ncompleted = \"59m\"\ndead = \"1h\"\n",
        &[
            "attendant.toml:2: retention.completed: must be at least 1h: results are fetched after the end",
        ],
    )]);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let setup = Setup::new("");
    let missing = setup.path("missing.toml");
    let wanted = ["missing.toml: cannot be read: No such file or directory (os error 2)"];
    let named = Config::load(&Inputs::new(Some(&missing), &setup.env)).unwrap_err();
    assert_eq!(setup.shown(&named.0), wanted);

    let env = Env::from([("ATTENDANT_CONFIG".to_owned(), missing.to_str().unwrap().to_owned())]);
    let named = Config::load(&Inputs::new(None, &env)).unwrap_err();
    assert_eq!(setup.shown(&named.0), wanted);
}

#[test]
fn no_problem_repeats_what_could_be_a_secret() {
    for main in [
        "[accounts.a]\nprovider = \"p\"\nsecrets.s = \"hunter2\"\n",
        "[accounts.a]\nprovider = \"p\"\nsecrets.s = { value = \"hunter2\" }\n",
        "[accounts.a]\nprovider = \"p\"\nbase_url = \"https://u:hunter2@h/\"\n",
        "[accounts.a]\nprovider = \"p\"\nsecrets.s = hunter2\n",
        "[[api.tokens]]\nname = \"t\"\nsha256 = \"hunter2\"\nmay = []\n",
        "[database]\nurl = \"mysql://u:hunter2@h/db\"\n",
        "[seal]\nkey = { credential = \"hunter2/\" }\n",
    ] {
        let problems = Setup::new(main).problems();
        assert!(!problems.iter().any(|problem| problem.contains("hunter2")), "{problems:?}");
    }
}
