//! Every key there is, and what may stand there.

use super::{
    account::OnExpire,
    api::Right,
    database::{DatabaseUrl, Synchronous},
    grammar,
    sections::{LogFormat, Misfire},
    shape::Shape::{self, Any, Date, Flag, Integer, List, Named, Object, Source, Table, Text},
};
use crate::{credentials::sink, policy::limit::Limit};

/// The whole file.
pub(super) const ROOT: Shape = Table(&[
    ("jobs_dir", Text(grammar::path)),
    ("database", Table(DATABASE)),
    ("seal", Table(&[("key", Source(KEY))])),
    ("engine", Table(ENGINE)),
    ("api", Table(API)),
    ("hooks", Table(&[("listen", ADDRESS)])),
    ("log", Table(LOG)),
    ("accounts", Named(&Table(ACCOUNT))),
    ("budgets", Named(&Table(&[("limits", LIMITS)]))),
    ("schedules", Named(&Table(SCHEDULE))),
    ("retention", Table(&[("completed", DURATION), ("dead", DURATION)])),
]);

type Fields = &'static [(&'static str, Shape)];

const DURATION: Shape = Text(grammar::duration);
const NAME: Shape = Text(grammar::name);
const LIMITS: Shape = List(&Text(grammar::parses::<Limit>));
const ADDRESS: Shape = Text(grammar::parses::<std::net::SocketAddr>);

const DATABASE: Fields = &[
    ("url", Text(grammar::parses::<DatabaseUrl>)),
    ("synchronous", Text(grammar::parses::<Synchronous>)),
];

const KEY: Fields = &[("credential", Text(grammar::credential)), ("file", Text(grammar::path))];

const ENGINE: Fields = &[
    ("concurrency", Integer { min: 1, max: 10_000 }),
    ("lease", DURATION),
    ("shutdown_timeout", DURATION),
];

const MAY: Shape = List(&Text(grammar::parses::<Right>));
const ACCOUNTS: Shape = List(&NAME);
const KINDS: Shape = List(&Text(grammar::kind));

const API: Fields = &[
    ("socket", Text(grammar::path)),
    ("listen", ADDRESS),
    (
        "allow",
        List(&Table(&[
            ("user", Text(grammar::nonempty)),
            ("uid", Integer { min: 0, max: 4_294_967_294 }),
            ("group", Text(grammar::nonempty)),
            ("may", MAY),
            ("accounts", ACCOUNTS),
            ("kinds", KINDS),
        ])),
    ),
    (
        "tokens",
        List(&Table(&[
            ("name", NAME),
            ("sha256", Text(grammar::sha256)),
            ("may", MAY),
            ("accounts", ACCOUNTS),
            ("kinds", KINDS),
        ])),
    ),
];

const LOG: Fields =
    &[("format", Text(grammar::parses::<LogFormat>)), ("filter", Text(grammar::log_filter))];

const ACCOUNT: Fields = &[
    ("provider", NAME),
    ("base_url", Text(grammar::base_url)),
    ("allow_insecure_http", Flag),
    ("limits", LIMITS),
    ("budget", NAME),
    ("default", Flag),
    ("params", Named(&Any)),
    ("secrets", Named(&Source(SECRET))),
    ("overlap", DURATION),
    ("sinks", List(&Table(SINK))),
];

const SECRET: Fields = &[
    ("credential", Text(grammar::credential)),
    ("file", Text(grammar::path)),
    ("env", Text(grammar::variable)),
    ("expires", Date(grammar::instant)),
];

const SINK: Fields = &[
    ("credential", NAME),
    ("file", Text(grammar::path)),
    ("mode", Text(grammar::mode)),
    ("owner", Text(grammar::nonempty)),
    ("group", Text(grammar::nonempty)),
    ("template", Text(sink::check_template)),
    ("on_expire", Text(grammar::parses::<OnExpire>)),
    ("on_change", List(&Text(grammar::nonempty))),
    ("timeout", DURATION),
];

const SCHEDULE: Fields = &[
    ("cron", Text(grammar::cron)),
    ("timezone", Text(grammar::nonempty)),
    ("misfire", Text(grammar::parses::<Misfire>)),
    ("kind", Text(grammar::kind)),
    ("account", NAME),
    ("args", Object),
    ("priority", Integer { min: 0, max: 3 }),
    ("max_errors", Integer { min: 1, max: 1_000 }),
    ("deadline", DURATION),
    ("tags", List(&Text(grammar::nonempty))),
];
