//! Schedules by a clock that is moved by hand.

use super::*;

const SCHEDULED: &str = r#"
[accounts.acme]
provider = "acme"
[schedules.hourly]
cron = "0 * * * *"
timezone = "Europe/Berlin"
kind = "acme.user"
args = { name = "Ada", pass = "secret word" }
tags = ["mine"]
deadline = "12h"
[schedules.all]
cron = "30 * * * *"
misfire = "catch_up"
kind = "acme.login"
account = "acme"
"#;

async fn setup(config: &str) -> Setup {
    // 2027-01-15T08:00:00Z
    let setup = Setup::with(own_user(), config).await;
    setup.look().await;
    setup
}

impl Setup {
    /// Looks at the schedules now.
    async fn look(&self) -> Option<String> {
        let next = self.engine.look_at_schedules().await.unwrap();
        next.map(|at| at.to_string())
    }

    async fn after(&self, minutes: u64) -> Option<String> {
        self.clock.advance(Duration::from_mins(minutes));
        self.look().await
    }

    /// When the jobs of a schedule are for, oldest first.
    async fn runs(&self, name: &str) -> Vec<String> {
        let jobs = self.get(&format!("/v1/jobs?tag=schedule:{name}")).await.expect(200);
        let times = jobs["jobs"].as_array().unwrap().iter();
        let mut times: Vec<String> =
            times.map(|job| job["run_at"].as_str().unwrap()[11..16].to_owned()).collect();
        times.sort();
        times
    }

    async fn schedule(&self, n: usize) -> Value {
        self.get("/v1/schedules").await.expect(200)["schedules"][n].clone()
    }
}

#[tokio::test]
async fn occurrences_become_jobs_once() {
    let setup = setup(SCHEDULED).await;
    assert_eq!(setup.after(29).await.unwrap(), "2027-01-15T08:30:00.000Z");
    assert_eq!(setup.after(1).await.unwrap(), "2027-01-15T09:00:00.000Z");
    setup.look().await;
    assert_eq!(setup.after(30).await.unwrap(), "2027-01-15T09:30:00.000Z");
    setup.look().await;
    assert_eq!(
        (setup.runs("all").await, setup.runs("hourly").await),
        (vec!["08:30".into()], vec!["09:00".into()])
    );
    let jobs = setup.get("/v1/jobs?tag=schedule:hourly").await.expect(200);
    let job = &jobs["jobs"][0];
    assert_eq!((&job["args"]["name"], &job["args"]["pass"]), (&json!("Ada"), &json!("***")));
    assert_eq!(job["deadline"], "2027-01-15T21:00:00.000Z", "from the occurrence on");
    assert_eq!(
        (&job["tags"][0], &job["created_by"]["user"]),
        (&json!("mine"), &json!("attendant"))
    );
    setup.complete("acme", &json!({})).await;
    let all = setup.schedule(0).await;
    assert_eq!((&all["name"], &all["last"]["state"]), (&json!("all"), &json!("completed")));
    assert_eq!(all["last"]["at"], "2027-01-15T08:30:00.000Z");
    assert_eq!(setup.schedule(1).await["last"]["state"], "queued");
    assert_eq!(setup.schedule(1).await["next_at"], "2027-01-15T10:00:00.000Z");
}

#[tokio::test]
async fn what_was_missed_is_folded_or_caught_up_with() {
    let setup = setup(SCHEDULED).await;
    setup.after(205).await;
    assert_eq!(setup.runs("hourly").await, ["11:00"]);
    assert_eq!(setup.runs("all").await, ["08:30", "09:30", "10:30"]);
    assert_eq!(setup.after(10).await.unwrap(), "2027-01-15T12:00:00.000Z");
    assert_eq!(setup.runs("all").await.last().unwrap(), "11:30");
}

#[tokio::test]
async fn a_doubtful_clock_decides_nothing_about_missed_ones() {
    let setup = setup(SCHEDULED).await;
    setup.clock.step_wall(26 * 3_600_000);
    assert!(setup.engine.clock_is_doubtful());
    setup.after(10).await;
    assert_eq!(setup.runs("all").await, Vec::<String>::new());
    // What comes meanwhile is run.
    setup.after(20).await;
    setup.look().await;
    assert_eq!(setup.runs("all").await, ["10:30"]);
    // It was right: what was missed is made up for, and nothing comes twice.
    setup.post("/v1/clock/confirm", &json!({})).await.expect(200);
    setup.look().await;
    assert_eq!(setup.runs("all").await.len(), 27);
    assert_eq!(setup.runs("hourly").await, ["10:00"], "the last of many");
    setup.look().await;
    assert_eq!(setup.runs("all").await.len(), 27);
}

#[tokio::test]
async fn a_clock_that_is_put_back_repeats_nothing_and_is_followed() {
    let setup = setup(SCHEDULED).await;
    setup.clock.step_wall(26 * 3_600_000);
    setup.after(30).await;
    setup.clock.step_wall(-26 * 3_600_000);
    setup.look().await;
    assert_eq!(setup.runs("all").await.len(), 2, "one in doubt, one now");
    // Half an hour back: what was run is not run again, and the next comes in its time.
    setup.clock.step_wall(-20 * 60_000);
    assert_eq!(setup.look().await.unwrap(), "2027-01-15T09:00:00.000Z");
    setup.after(25).await;
    assert_eq!(setup.runs("all").await.len(), 2);
    // Far back, and right.
    setup.clock.step_wall(-48 * 3_600_000);
    setup.look().await;
    setup.post("/v1/clock/confirm", &json!({})).await.expect(200);
    assert_eq!(setup.look().await.unwrap(), "2027-01-13T09:00:00.000Z");
}

#[tokio::test]
async fn changed_and_removed_schedules() {
    let setup = setup(SCHEDULED).await;
    setup.after(61).await;
    let with = async |config: &str| {
        let other = Setup::with(own_user(), config).await;
        other.engine.catalog().schedules.clone()
    };
    // As a reload puts another catalogue in place of this one.
    let changed = with(&SCHEDULED.replace("30 * * * *", "45 */2 * * *")).await;
    setup.engine.replace_schedules(changed);
    assert_eq!(setup.look().await.unwrap(), "2027-01-15T10:00:00.000Z");
    assert_eq!(setup.schedule(0).await["next_at"], "2027-01-15T10:45:00.000Z");
    assert_eq!(setup.schedule(0).await["last"]["at"], "2027-01-15T08:30:00.000Z");
    let fewer = with(SCHEDULED.split("[schedules.all]").next().unwrap()).await;
    setup.engine.replace_schedules(fewer);
    setup.look().await;
    let left = setup.engine.store.schedules().await.unwrap();
    assert_eq!(left.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["hourly"]);
    assert_eq!(
        setup.get("/v1/schedules").await.expect(200)["schedules"].as_array().unwrap().len(),
        1
    );
}

#[tokio::test]
async fn one_is_run_by_hand() {
    let setup = setup(SCHEDULED).await;
    let job = setup.post("/v1/schedules/hourly/run", &json!({})).await.expect(201);
    assert_eq!((&job["kind"], &job["tags"][1]), (&json!("acme.user"), &json!("schedule:hourly")));
    assert_ne!(job["created_by"]["user"], "attendant");
    assert_eq!(setup.schedule(1).await["last"], Value::Null, "it is no occurrence");
    assert_eq!(setup.after(60).await.unwrap(), "2027-01-15T09:30:00.000Z");
    assert_eq!(setup.runs("hourly").await.len(), 2);
    let problem = setup.post("/v1/schedules/weekly/run", &json!({})).await.problem(404);
    assert_eq!(problem["detail"], "there is no schedule `weekly`; known: all, hourly");
}

#[tokio::test]
async fn an_occurrence_whose_twin_lives_is_that_one() {
    let follow = r#"
[accounts.certn]
provider = "certn"
base_url = "http://127.0.0.1:9"
secrets.client_id = { env = "ID" }
secrets.client_secret = { env = "SECRET" }
[schedules.again]
cron = "0 * * * *"
kind = "certn.applicant"
args = { industry = "hr", id = "a1" }
"#;
    let setup = setup(follow).await;
    setup.after(60).await;
    let first = setup.schedule(0).await["last"]["job_id"].clone();
    setup.after(60).await;
    let second = setup.schedule(0).await["last"].clone();
    assert_eq!((&second["job_id"], &second["at"]), (&first, &json!("2027-01-15T10:00:00.000Z")));
    assert_eq!(setup.runs("again").await.len(), 1);
}

fn problems(schedule: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("attendant.toml");
    let two = "[accounts.b]\nprovider = \"certn\"\nbase_url = \"http://127.0.0.1:9\"\n\
               secrets.client_id = { env = \"ID\" }\nsecrets.client_secret = { env = \"SECRET\" }\n";
    let account = two.replace("accounts.b", "accounts.a");
    std::fs::write(&file, format!("{account}{two}[schedules.s]\n{schedule}\n")).unwrap();
    let env: Env = [("HOME", "/tmp"), ("ID", "id"), ("SECRET", "secret")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let config = Config::load(&Inputs::new(Some(&file), &env)).unwrap();
    let registry = Registry::load(None).unwrap();
    match plan::plan(&config, registry, &env, Visibility::Service) {
        Ok(_) => vec![],
        Err(found) => found
            .0
            .iter()
            .map(|one| format!("{}: {}: {}", one.line.unwrap_or(0), one.key, one.message))
            .collect(),
    }
}

#[test]
fn everything_wrong_with_a_schedule_is_found_before_it_runs() {
    let good = "cron = \"0 3 * * *\"\nkind = \"certn.users\"\naccount = \"a\"";
    assert_eq!(problems(good), Vec::<String>::new());
    let table = [
        (
            good.replace("0 3", "0 25"),
            "12: schedules.s.cron: hour (`25`): `25` is not a number from 0 to 23",
        ),
        (
            format!("{good}\ntimezone = \"Mars/Olympus\""),
            "15: schedules.s.timezone: `Mars/Olympus` is not a time zone: write a name such as \
             Europe/Berlin, or UTC",
        ),
        (
            good.replace("certn.users", "certn.user"),
            "13: schedules.s.kind: `certn.user` is not a job kind; known: certn.applicant, \
             certn.application, certn.report, certn.users",
        ),
        (
            good.replace("\naccount = \"a\"", ""),
            "11: schedules.s.account: is missing: certn has several accounts and none is the \
             default: name one of a, b",
        ),
        (
            good.replace("certn.users", "scantrust.me"),
            "14: schedules.s.account: account `a` is of certn, the kind is of scantrust; accounts \
             of scantrust: ",
        ),
        (
            format!("{good}\nargs = {{ page = 3 }}"),
            "15: schedules.s.args.page: is not an argument: this kind takes none",
        ),
    ];
    for (schedule, expected) in table {
        assert_eq!(problems(&schedule), [expected], "{schedule}");
    }
}
