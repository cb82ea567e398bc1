//! Configurations that nobody would write: refused with words, never a panic.

use proptest::prelude::*;

use super::Setup;

const WHOLE: &str = r#"
jobs_dir = "jobs.d"
[database]
url = "sqlite:///tmp/a.db"
[engine]
concurrency = 64
lease = "60s"
shutdown_timeout = "45s"
[api]
socket = "/tmp/a.sock"
[accounts.gate]
provider = "controlbyweb"
params.account_id = 3816414018
limits = ["240/1m", "14400/24h"]
overlap = "2h"
secrets.auth_token = { env = "CBW_TOKEN", expires = "2026-12-31" }
[[accounts.gate.sinks]]
credential = "certificate_request_token"
file = "/tmp/cbw"
mode = "0640"
on_change = ["/usr/bin/touch", "/tmp/x"]
[budgets.cbw]
limits = ["60/1m"]
[schedules.nightly]
cron = "0 3 * * *"
timezone = "America/Vancouver"
kind = "certn.users"
[retention]
completed = "30d"
"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_file_is_taken_or_refused_with_words(
        cuts in prop::collection::vec((0_usize..1000, 0_usize..9, ".{0,5}"), 1..6),
        variable in "[A-Z_]{1,12}", value in ".{0,9}",
    ) {
        let mut chars: Vec<char> = WHOLE.chars().collect();
        for (at, length, put) in cuts {
            let at = at * chars.len() / 1000;
            chars.splice(at..(at + length).min(chars.len()), put.chars());
        }
        let text: String = chars.into_iter().collect();
        let setup = Setup::new(&text).env(&format!("ATTENDANT__{variable}"), &value);
        if let Err(problems) = setup.load() {
            prop_assert!(!problems.0.is_empty());
            prop_assert!(problems.0.iter().all(|one| !one.to_string().is_empty()));
        }
    }
}
