//! What good configurations come to: the contract's example, defaults, folders and sockets.

use std::time::Duration;

use super::{
    super::{
        DatabaseUrl, KeySource, LogFormat, Misfire, OnExpire, Peer, Right, Synchronous,
        places::client_socket_with,
    },
    *,
};

const CONTRACT: &str = include_str!("contract.toml");

#[test]
fn the_contracts_example() {
    let setup = Setup::new(CONTRACT);
    let config = setup.config();
    assert_eq!(config.warnings, []);
    assert_eq!(config.jobs_dir.as_deref(), Some(Path::new("/etc/attendant/jobs.d")));
    assert_eq!(config.artifacts_dir, Path::new("/var/lib/attendant/artifacts"));
    assert_eq!(config.seal_key, KeySource::Credential("attendant.key".into()));
    assert_eq!(config.api.allow[0].peer, Peer::Group("hr-sync".into()));
    assert_eq!(config.api.allow[0].access.may, [Right::Enqueue, Right::Read].into());
    assert_eq!(config.api.tokens[0].access.accounts, None);
    assert_eq!(config.log.format, LogFormat::Auto);
    let certn = &config.accounts["certn"];
    assert_eq!(certn.base_url.as_ref().unwrap().as_str(), "https://api.certn.co/");
    assert_eq!(certn.limits.as_ref().unwrap().len(), 2);
    let gate = &config.accounts["gate"];
    assert_eq!(gate.params["account_id"], 3_816_414_018_i64);
    assert_eq!(gate.overlap, Some(Duration::from_hours(2)));
    assert_eq!((gate.sinks[0].mode, gate.sinks[0].on_expire), (0o640, OnExpire::Keep));
    let schedule = &config.schedules["users_nightly"];
    assert_eq!((schedule.misfire, schedule.account.as_deref()), (Misfire::Coalesce, Some("certn")));
    assert_eq!(config.retention.dead, Duration::from_hours(180 * 24));
}

#[test]
fn the_contracts_values_are_the_defaults() {
    let (written, empty) = (Setup::new(CONTRACT).config(), Setup::new("").config());
    assert_eq!(written.engine, empty.engine);
    assert_eq!(written.log, empty.log);
    assert_eq!(written.retention, empty.retention);
    assert_eq!(empty.database.synchronous, Synchronous::Full);
}

/// Folders by environment: database, key, artifacts, socket.
#[test]
fn without_a_file_the_environment_says_where() {
    let table = [
        (&[("HOME", "/h")][..], "/h/.local/state/attendant", "/h/.local/state/attendant"),
        (&[("HOME", "/h"), ("XDG_STATE_HOME", "/s")], "/s/attendant", "/s/attendant"),
        (
            &[("HOME", "/h"), ("XDG_STATE_HOME", "rel")],
            "/h/.local/state/attendant",
            "/h/.local/state/attendant",
        ),
        (&[("STATE_DIRECTORY", "/v"), ("XDG_STATE_HOME", "/s")], "/v", "/v"),
        (&[("STATE_DIRECTORY", "/v:/w"), ("XDG_RUNTIME_DIR", "/r")], "/v", "/r"),
        (
            &[
                ("STATE_DIRECTORY", "/v"),
                ("RUNTIME_DIRECTORY", "/run/a"),
                ("XDG_RUNTIME_DIR", "/r"),
            ],
            "/v",
            "/run/a",
        ),
    ];
    for (env, state, runtime) in table {
        let env = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let inputs = Inputs::new(None, &env);
        let config = Config::load_with(&inputs, Path::new("/nowhere/attendant.toml")).unwrap();
        let state = Path::new(state);
        assert_eq!(config.file, None);
        assert_eq!(config.database.url.sqlite_path().unwrap(), state.join("attendant.db"));
        assert_eq!(config.seal_key, KeySource::BesideDatabase(state.join("attendant.key")));
        assert_eq!(config.artifacts_dir, state.join("artifacts"));
        assert_eq!(config.api.socket, Path::new(runtime).join("attendant.sock"));
        assert!(!config.api.socket_is_configured);
    }
    let env = Env::new();
    let inputs = Inputs::new(None, &env);
    let none = Config::load_with(&inputs, Path::new("/nowhere/attendant.toml")).unwrap_err();
    assert_eq!(
        none.to_string(),
        "configuration: database.url: is not set, and there is no $STATE_DIRECTORY, \
         $XDG_STATE_HOME or $HOME for a default: write url = \"sqlite:///absolute/path\"\n\
         configuration: api.socket: is not set, and there is no folder for a default: write \
         socket = \"/absolute/path\""
    );
}

#[test]
fn relative_paths_stand_for_the_folder_of_their_file() {
    let setup = Setup::new("database.url = \"sqlite:db/a.db\"\nseal.key.file = \"k\"\n")
        .file("conf.d/x.toml", "jobs_dir = \"../jobs\"\n")
        .env("ATTENDANT__API__SOCKET", "a.sock");
    let config = setup.config();
    let DatabaseUrl::Sqlite(file) = &config.database.url else { panic!() };
    assert_eq!(*file, setup.path("db/a.db"));
    assert_eq!(config.artifacts_dir, setup.path("db/artifacts"));
    assert_eq!(config.seal_key, KeySource::File(setup.path("k")));
    assert_eq!(config.jobs_dir, Some(setup.path("conf.d/../jobs")));
    assert_eq!(config.api.socket, Path::new("a.sock"));
}

#[test]
fn definitions_beside_the_file_are_found() {
    let setup = Setup::new("");
    assert_eq!(setup.config().jobs_dir, None);
    std::fs::create_dir(setup.path("jobs.d")).unwrap();
    assert_eq!(setup.config().jobs_dir, Some(setup.path("jobs.d")));
}

#[test]
fn what_works_but_is_open_is_warned_of() {
    let digest = "a4d8494f6b7585f871d3cb31f725cd897894262f92bc356118835bcc9ee96484";
    let setup = Setup::new(&format!(
        "[api]\nlisten = \"0.0.0.0:1\"\n[[api.tokens]]\nname = \"t\"\nsha256 = \"{digest}\"\nmay = []\n[accounts.a]\nprovider = \"p\"\n[[accounts.a.sinks]]\ncredential = \"c\"\nfile = \"/f\"\nmode = \"0644\"\n[[api.allow]]\nuser = \"nobody\"\nmay = [\"read\"]\n[[api.allow]]\ngroup = \"g\"\nmay = []\n[hooks]\nlisten = \"127.0.0.1:2\"\n"
    ));
    assert_eq!(
        setup.shown(&setup.config().warnings),
        [
            "attendant.toml:12: accounts.a.sinks[0].mode: lets every user of this machine at the credential",
            "attendant.toml:2: api.listen: is not loopback: tokens travel in clear unless a TLS proxy is in front",
            "attendant.toml:13: api.allow[0]: names the user that stands for all whom the kernel has no number for, such as those of other user namespaces: give the program a user of its own",
            "attendant.toml:16: api.allow[1]: gives no right: write may = [\"read\"] or others",
            "attendant.toml:20: hooks.listen: is not served by this version: nothing listens there",
        ]
    );
}

#[test]
fn a_client_finds_its_socket() {
    let folder = tempfile::tempdir().unwrap();
    let (file, system) = (folder.path().join("a.toml"), folder.path().join("system.sock"));
    let mut env = Env::from([("XDG_RUNTIME_DIR".to_owned(), "/r".to_owned())]);
    let socket = |flag: Option<&str>, env: &Env| {
        client_socket_with(flag.map(Path::new), None, env, &file, &system).unwrap()
    };
    assert_eq!(socket(None, &env), Path::new("/r/attendant.sock"));
    std::fs::write(&system, "").unwrap();
    assert_eq!(socket(None, &env), system);
    // Problems elsewhere in the configuration are not the client's.
    std::fs::write(&file, "nonsense = 1\n[api]\nsocket = \"c.sock\"\n").unwrap();
    assert_eq!(socket(None, &env), folder.path().join("c.sock"));
    env.insert("ATTENDANT__API__SOCKET".into(), "/l.sock".into());
    assert_eq!(socket(None, &env), Path::new("/l.sock"));
    env.insert("ATTENDANT_SOCKET".into(), "/e.sock".into());
    assert_eq!(socket(None, &env), Path::new("/e.sock"));
    assert_eq!(socket(Some("/f.sock"), &env), Path::new("/f.sock"));

    let missing = folder.path().join("missing.toml");
    let empty = Env::new();
    client_socket_with(None, Some(&missing), &empty, &file, &system).unwrap_err();
    std::fs::remove_file(&file).unwrap();
    std::fs::remove_file(&system).unwrap();
    assert_eq!(socket(None, &empty), system, "where nothing else is known");
}
