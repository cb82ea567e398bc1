//! Which layer wins, and where keys are said to stand.

use std::time::Duration;

use serde_json::json;

use super::{super::SecretFrom, *};

#[test]
fn file_then_conf_d_then_env_then_flag() {
    let seconds = |setup: &Setup| {
        let engine = setup.config().engine;
        (engine.concurrency, engine.lease.as_secs(), engine.shutdown_timeout.as_secs())
    };
    let setup =
        Setup::new("engine = { concurrency = 1, lease = \"11s\", shutdown_timeout = \"1s\" }")
            .file("conf.d/20-b.toml", "[engine]\nlease = \"13s\"\n")
            .file("conf.d/10-a.toml", "[engine]\nlease = \"12s\"\nshutdown_timeout = \"2s\"\n")
            .file("conf.d/30-c.toml.bak", "[engine]\nlease = \"14s\"\n")
            .file("conf.d/.hidden.toml", "[engine]\nlease = \"15s\"\n");
    assert_eq!(seconds(&setup), (1, 13, 2));
    let setup = setup.env("ATTENDANT__ENGINE__LEASE", "16s");
    assert_eq!(seconds(&setup), (1, 16, 2));
    let setup = setup.env("ATTENDANT__ENGINE__CONCURRENCY", " 7 ");
    assert_eq!(seconds(&setup), (7, 16, 2));
    let setup = setup.flag("--lease", "engine.lease", "17s");
    assert_eq!(seconds(&setup), (7, 17, 2));
}

#[test]
fn tables_merge_and_arrays_replace() {
    let setup = Setup::new(
        "[accounts.a]\nprovider = \"p\"\nlimits = [\"1/1m\", \"2/1h\"]\nparams.x = 1\nparams.y = 2\n",
    )
    .file("conf.d/a.toml", "[accounts.a]\nlimits = [\"3/1m\"]\nparams.y = [3]\n");
    let account = &setup.config().accounts["a"];
    assert_eq!(account.limits, Some(vec!["3/1m".parse().unwrap()]));
    assert_eq!(json!(account.params), json!({ "x": 1, "y": [3] }));
}

#[test]
fn a_later_source_of_a_secret_replaces_the_earlier() {
    let setup = Setup::new(
        "seal.key = { credential = \"k\" }\n[accounts.a]\nprovider = \"p\"\nsecrets.s = { credential = \"c\", expires = \"2026-12-31\" }\n",
    )
    .file("conf.d/a.toml", "accounts.a.secrets.s.file = \"/f\"\n")
    .env("ATTENDANT__ACCOUNTS__A__SECRETS__S__ENV", "TOKEN")
    .env("ATTENDANT__SEAL__KEY", "{ file = '/k' }");
    let config = setup.config();
    let secret = &config.accounts["a"].secrets["s"];
    assert_eq!(secret.from, SecretFrom::Env("TOKEN".into()));
    assert_eq!(secret.expires.unwrap().to_string(), "2026-12-31T00:00:00.000Z");
    assert_eq!(config.seal_key.to_string(), "/k");
}

#[test]
fn variables_are_read_by_the_type_of_their_key() {
    let setup = Setup::new("")
        .env("ATTENDANT__LOG__FILTER", "attendant=debug,info")
        .env("ATTENDANT__ACCOUNTS__A__PROVIDER", "p")
        .env("ATTENDANT__ACCOUNTS__A__DEFAULT", "true")
        .env("ATTENDANT__ACCOUNTS__A__LIMITS", "[\"1/1m\"]")
        .env("ATTENDANT__ACCOUNTS__A__PARAMS__ID", "3816414018")
        .env("ATTENDANT__ACCOUNTS__A__PARAMS__TEXT", "'3816414018'")
        .env("ATTENDANT__ACCOUNTS__A__PARAMS__WORD", "plain words")
        .env("ATTENDANT__BUDGETS", "{ b = { limits = ['2/1h'] } }")
        .env("ATTENDANT_SOCKET", "/not/layered")
        .env("ATTENDANT_CONFIG", "");
    let config = setup.config();
    let account = &config.accounts["a"];
    assert_eq!((config.log.filter.as_str(), account.is_default), ("attendant=debug,info", true));
    assert_eq!(
        json!(account.params),
        json!({ "id": 3_816_414_018_i64, "text": "3816414018", "word": "plain words" })
    );
    assert_eq!(config.budgets["b"].limits[0].window, Duration::from_hours(1));
    let position = config.position("accounts.a.secrets.x").unwrap();
    assert_eq!(
        (position.file.to_str(), position.line),
        (Some("ATTENDANT__ACCOUNTS__A__DEFAULT"), None)
    );
}

#[test]
fn bad_variables_are_named() {
    let table = [
        (
            "ENGINE__CONCURENCY",
            "7",
            "engine.concurency: unknown key; allowed here: concurrency, lease, shutdown_timeout",
        ),
        ("ENGINE__LEASE__X", "7", "engine.lease.x: unknown key; nothing stands below it"),
        (
            "ENGINE__CONCURRENCY",
            "many",
            "engine.concurrency: is not a TOML value: string values must be quoted, expected literal string",
        ),
        ("ENGINE__CONCURRENCY", "'7'", "engine.concurrency: expected an integer, found text"),
        (
            "ENGINE__LEASE",
            "7",
            "engine.lease: `7` is not a duration: write a number and its unit, such as \"45s\" or \"12h\"",
        ),
        (
            "",
            "7",
            ": unknown key; allowed here: jobs_dir, database, seal, engine, api, hooks, log, accounts, budgets, schedules, retention",
        ),
        (
            "ACCOUNTS__A-B__PROVIDER",
            "p",
            "accounts.a-b: `a-b` is not a name: write lower-case letters, digits and _",
        ),
    ];
    for (name, value, wanted) in table {
        let name = format!("ATTENDANT__{name}");
        let problems = Setup::new("").env(&name, value).problems();
        let wanted = format!("{name}: {wanted}").replace(": : ", ": ");
        assert_eq!(problems, [wanted]);
    }
    let problems = Setup::new("").flag("--lease", "engine.lease", "1s").problems();
    assert_eq!(problems, ["--lease: engine.lease: must be from 5s to 1h"]);
}

#[test]
fn problems_of_all_files_come_at_once() {
    let setup = Setup::new("a = 1\n[engine]\nlease = \"1s\"\n")
        .file("conf.d/x.toml", "\nb = 2\n")
        .env("ATTENDANT__C", "3");
    let files: Vec<_> = setup
        .problems()
        .iter()
        .map(|problem| problem.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        files,
        [
            "attendant.toml:1 a",
            "attendant.toml:3 engine.lease",
            "conf.d/x.toml:2 b",
            "ATTENDANT__C c",
        ]
    );
}

#[test]
fn keys_know_where_they_stand() {
    let setup = Setup::new("[accounts.a]\nprovider = \"p\"\noverlap = \"1h\"\n\n[[accounts.a.sinks]]\ncredential = \"c\"\nfile = \"/f\"\n")
        .file("conf.d/x.toml", "# more\n[accounts.a]\noverlap = \"2h\"\n\n  [accounts.a.params]\n  id = 1\n");
    let (config, main, more) =
        (setup.config(), setup.path("attendant.toml"), setup.path("conf.d/x.toml"));
    let table = [
        ("accounts.a", position(&main, 1)),
        ("accounts.a.base_url", position(&main, 1)),
        ("accounts.a.provider", position(&main, 2)),
        ("accounts.a.overlap", position(&more, 3)),
        ("accounts.a.params.id", position(&more, 6)),
        ("accounts.a.sinks[0]", position(&main, 5)),
        ("accounts.a.sinks[0].file", position(&main, 7)),
        ("accounts.a.sinks[0].mode", position(&main, 5)),
        ("engine.lease", Position { file: main.clone(), line: None }),
    ];
    for (key, wanted) in table {
        assert_eq!(config.position(key), Some(&wanted), "{key}");
    }
    let told = config.diagnostic("accounts.a.provider", "is not known");
    assert_eq!(setup.shown(&[told]), ["attendant.toml:2: accounts.a.provider: is not known"]);
}
