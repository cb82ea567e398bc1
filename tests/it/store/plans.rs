//! Which index each hot statement uses, with and without rows and statistics; and that what
//! waits or has ended costs a claim nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use attendant::store::{Store as _, sqlite::Synchronous};
use sqlx::{
    AssertSqlSafe, Connection as _, Row as _, SqlSafeStr as _, SqliteConnection,
    sqlite::SqliteArguments,
};
use tempfile::TempDir;

use super::sqlite::open_in;

macro_rules! sql {
    ($name:literal) => {
        include_str!(concat!("../../../src/store/sql/", $name, ".sql"))
    };
}

const BY_ROWID: &str = "SEARCH jobs USING INTEGER PRIMARY KEY (rowid=?)";
const OWN_BY_ROWID: &str = "SEARCH own USING INTEGER PRIMARY KEY (rowid=?)";
const KEY: &str = "SEARCH k USING PRIMARY KEY (queue=? AND hash=?)";
const LIVE: &str = "SEARCH j USING INDEX jobs_live (queue=? AND uniq=?)";
const CHAIN: &str = "SEARCH c USING INDEX jobs_root (root=?)";
const FILES: &str = "SEARCH a USING INDEX sqlite_autoindex_artifacts_1 (job=?)";
const LAST_OBSERVATION: &str = "SEARCH o USING PRIMARY KEY (job=?)";

/// Every reading of a table that the statements of a file may do, statement by statement.
const PLANS: [(&str, &str, &[&[&str]]); 18] = [
    (
        "claim_jobs",
        sql!("claim_jobs"),
        &[&[
            BY_ROWID,
            "SEARCH jobs USING INDEX jobs_ready (queue=? AND priority<?)",
            // Of RETURNING: the chain's salt, the last status and its time.
            "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
            LAST_OBSERVATION,
            LAST_OBSERVATION,
            LAST_OBSERVATION,
        ]],
    ),
    (
        "claim_promote",
        sql!("claim_promote"),
        &[&[BY_ROWID, "SEARCH jobs USING INDEX jobs_future (run_at<?)"]],
    ),
    ("claim_next", sql!("claim_next"), &[&["SEARCH jobs USING INDEX jobs_future"]]),
    ("settle_jobs", sql!("settle_jobs"), &[&[BY_ROWID]]),
    (
        "settle_children",
        sql!("settle_children"),
        &[&[OWN_BY_ROWID, "SEARCH twin USING INDEX jobs_live (queue=? AND uniq=?)"]],
    ),
    ("settle_attempts", sql!("settle_attempts"), &[&[OWN_BY_ROWID]]),
    ("settle_observations", sql!("settle_observations"), &[&[OWN_BY_ROWID]]),
    ("settle_artifacts", sql!("settle_artifacts"), &[&[OWN_BY_ROWID]]),
    ("extend", sql!("extend"), &[&[BY_ROWID]]),
    ("running", sql!("running"), &[&["SEARCH jobs USING INDEX jobs_running (lease_until<?)"]]),
    ("enqueue_keys", sql!("enqueue_keys"), &[&[]]),
    ("enqueue_jobs", sql!("enqueue_jobs"), &[&[KEY]]),
    (
        "enqueue_tags",
        sql!("enqueue_tags"),
        &[&["SEARCH j USING INDEX sqlite_autoindex_jobs_1 (id=?)"]],
    ),
    (
        "enqueue_conflicts",
        sql!("enqueue_conflicts"),
        &[
            &[KEY],
            &[LIVE],
            &[
                LIVE,
                "SEARCH keys USING PRIMARY KEY (queue=? AND hash=?)",
                "SEARCH own USING INDEX sqlite_autoindex_jobs_1 (id=?)",
            ],
        ],
    ),
    (
        "depths",
        sql!("depths"),
        &[&[
            "SCAN jobs USING INDEX jobs_future",
            "SCAN jobs USING INDEX jobs_ready",
            "SCAN jobs USING INDEX jobs_running",
        ]],
    ),
    (
        "prune_candidates",
        sql!("prune_candidates"),
        &[&[
            "SEARCH r USING INDEX jobs_ended (state=? AND finished_at>? AND finished_at<?)",
            FILES,
            CHAIN,
            CHAIN,
            CHAIN,
        ]],
    ),
    (
        "prune",
        sql!("prune"),
        &[
            &[
                "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)",
                "SCAN cut",
                "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH j USING INDEX jobs_root (root=?)",
                "SEARCH c USING INTEGER PRIMARY KEY (rowid=?)",
                CHAIN,
                CHAIN,
                CHAIN,
            ],
            &["SEARCH keys USING INDEX keys_job (job=?)"],
            &[
                "SEARCH j USING INTEGER PRIMARY KEY (rowid=?)",
                "SEARCH job_tags USING PRIMARY KEY (tag=? AND job=?)",
            ],
            &["SEARCH attempts USING PRIMARY KEY (job=?)"],
            &["SEARCH observations USING PRIMARY KEY (job=?)"],
            &["SEARCH artifacts USING INDEX sqlite_autoindex_artifacts_1 (job=?)"],
            &[BY_ROWID],
            &[],
        ],
    ),
    (
        "fire",
        sql!("fire"),
        &[
            &["SEARCH schedules USING PRIMARY KEY (name=?)"],
            &["SEARCH occurrences USING PRIMARY KEY (schedule=? AND at=?)"],
            &["SEARCH j USING INDEX sqlite_autoindex_jobs_1 (id=?)"],
            &[
                LIVE,
                "SEARCH jobs USING INDEX sqlite_autoindex_jobs_1 (id=?)",
                "SEARCH occurrences USING PRIMARY KEY (schedule=? AND at=?)",
            ],
            &["SEARCH schedules USING PRIMARY KEY (name=?)"],
            &[
                "SEARCH o USING PRIMARY KEY (schedule=?)",
                "SEARCH occurrences USING PRIMARY KEY (schedule=? AND at<?)",
            ],
        ],
    ),
];

/// A connection of our own to a fresh database.
async fn connect(dir: &TempDir) -> SqliteConnection {
    open_in(dir.path(), Synchronous::Normal).await.close().await;
    let path = dir.path().join("attendant.db");
    SqliteConnection::connect(path.to_str().unwrap()).await.unwrap()
}

async fn execute(connection: &mut SqliteConnection, sql: String) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
}

/// So many jobs; `state` and `ready` are SQL over their number `i`.
async fn fill(connection: &mut SqliteConnection, count: u32, state: &str, ready: &str) {
    let sql = format!(
        "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})
         INSERT INTO jobs (id, queue, kind, state, ready, priority, run_at, created_at, created_by,
                           max_errors, uniq, args, lease_until)
         SELECT randomblob(16), 1 + i % 7, 1, {state}, {ready}, i % 4, i, i, 1, 5, randomblob(16),
                x'00', i FROM n"
    );
    execute(connection, sql).await;
}

fn statements(text: &str) -> Vec<String> {
    let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("--")).collect();
    let code = code.join("\n");
    code.split(';').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// How a statement reads the tables of the schema, sorted. Whether the index alone is enough is
/// not told apart.
async fn readings(connection: &mut SqliteConnection, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(AssertSqlSafe(explain).into_sql_str()).fetch_all(connection).await;
    let mut readings: Vec<String> = rows
        .unwrap()
        .iter()
        .map(|row| row.get::<String, _>(3).replace("COVERING ", "").replace(" EXISTS", ""))
        .filter(|step| step.starts_with("SEARCH") || step.starts_with("SCAN"))
        // The list of arguments, and what is derived from it.
        .filter(|step| !step.contains("VIRTUAL TABLE") && !step.starts_with("SCAN ("))
        .filter(|step| step != "SCAN CONSTANT ROW" && step != "SCAN p")
        .collect();
    readings.sort();
    readings
}

async fn assert_plans(connection: &mut SqliteConnection, when: &str) {
    for (name, text, expected) in PLANS {
        let statements = statements(text);
        assert_eq!(statements.len(), expected.len(), "{name}");
        for (statement, expected) in statements.iter().zip(expected) {
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(readings(connection, statement).await, expected, "{name}, {when}");
        }
    }
}

#[tokio::test]
async fn hot_statements_use_the_index_made_for_them() {
    let dir = TempDir::new().unwrap();
    let mut connection = connect(&dir).await;
    assert_plans(&mut connection, "empty").await;
    fill(&mut connection, 5_000, "i % 5", "i / 5 % 2").await;
    assert_plans(&mut connection, "with 5,000 rows").await;
    execute(&mut connection, "ANALYZE".to_owned()).await;
    // Statistics are read when a connection is made.
    let path = dir.path().join("attendant.db");
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    assert_plans(&mut connection, "with statistics").await;
}

/// How many steps SQLite's machine takes for a statement.
async fn steps(connection: &mut SqliteConnection, sql: &str, args: SqliteArguments) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let counting = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        true
    };
    connection.lock_handle().await.unwrap().set_progress_handler(1, counting);
    let query = sqlx::query_with(AssertSqlSafe(sql.to_owned()).into_sql_str(), args);
    query.fetch_all(&mut *connection).await.unwrap();
    connection.lock_handle().await.unwrap().remove_progress_handler();
    count.load(Ordering::Relaxed)
}

/// The steps of one round over five ready jobs, undone afterwards.
async fn round(connection: &mut SqliteConnection) -> [usize; 3] {
    use sqlx::Arguments as _;
    execute(connection, "BEGIN".to_owned()).await;
    let mut promote = SqliteArguments::default();
    promote.add(0).unwrap();
    promote.add(100).unwrap();
    let mut claim = SqliteArguments::default();
    for number in [60_000, 0] {
        claim.add(number).unwrap();
    }
    claim.add("[[1,5,3]]").unwrap();
    claim.add(5).unwrap();
    let steps = [
        steps(connection, sql!("claim_promote"), promote).await,
        steps(connection, sql!("claim_jobs"), claim).await,
        steps(connection, sql!("claim_next"), SqliteArguments::default()).await,
    ];
    execute(connection, "ROLLBACK".to_owned()).await;
    steps
}

#[tokio::test]
async fn waiting_and_ended_jobs_cost_a_claim_nothing() {
    let dir = TempDir::new().unwrap();
    let mut connection = connect(&dir).await;
    fill(&mut connection, 35, "0", "1").await;
    fill(&mut connection, 1, "0", "0").await; // for the next due
    round(&mut connection).await; // prepares the statements
    let before = round(&mut connection).await;
    assert!(before[1] > 50, "nothing was claimed: {before:?}");
    fill(&mut connection, 20_000, "0", "0").await;
    fill(&mut connection, 5_000, "2 + i % 3", "1").await;
    assert_eq!(round(&mut connection).await, before);
}
