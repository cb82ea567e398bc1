//! `attendant check`.

mod files;

use std::path::Path;

use serde_json::{Value, json};

use super::{console::Console, exit::Exit, session::Ended, table::counted};
use crate::{
    config::{Config, Env, Inputs},
    definition::Registry,
    diagnostic::{Diagnostic, Diagnostics},
    engine::plan::{self, Visibility},
    types::Timestamp,
};

/// What was found.
#[derive(Debug, Default)]
struct Report {
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    accounts: usize,
    providers: usize,
    kinds: usize,
}

pub(super) fn run(file: Option<&Path>, env: &Env, console: &mut Console<'_>) -> Ended {
    let report = examine(file, env, console.now());
    if console.json {
        console.value(&report.json())?;
    } else {
        console.text(report.text())?;
    }
    Ok(if report.problems.is_empty() { Exit::Done } else { Exit::Usage })
}

/// Configuration, then definitions, then both together; a step that fails leaves the next one
/// nothing to stand on.
fn examine(file: Option<&Path>, env: &Env, now: Timestamp) -> Report {
    match Config::load(&Inputs::new(file, env)) {
        Ok(mut config) => {
            config.warnings.extend(config.expiring(now));
            let warnings = config.warnings.clone();
            examine_with(&config, env)
                .unwrap_or_else(|problems| Report { warnings, ..Report::bad(problems) })
        }
        Err(problems) => Report::bad(problems),
    }
}

fn examine_with(config: &Config, env: &Env) -> Result<Report, Diagnostics> {
    let registry = Registry::load(config.jobs_dir.as_deref())?;
    // Inside the service what is not there is wrong; outside it cannot be seen.
    let inside = env.contains_key("CREDENTIALS_DIRECTORY");
    let visibility = if inside { Visibility::Service } else { Visibility::Outside };
    let (providers, kinds) = (registry.providers().count(), registry.kinds().count());
    let plan = plan::plan(config, registry, env, visibility)?;
    let mut warnings = plan.warnings;
    warnings.extend(files::look(config, env, &plan.registry));
    let accounts = config.accounts.len();
    Ok(Report { problems: vec![], warnings, accounts, providers, kinds })
}

impl Report {
    fn bad(problems: Diagnostics) -> Self {
        Self { problems: problems.0, ..Self::default() }
    }

    fn text(&self) -> String {
        let mut lines: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        lines.extend(self.warnings.iter().map(|one| {
            let message = format!("warning: {}", one.message);
            Diagnostic { message, ..one.clone() }.to_string()
        }));
        lines.push(match self.problems.len() {
            0 => format!(
                "configuration is valid: {}, {}, {}\n",
                counted(self.accounts, "account"),
                counted(self.providers, "provider"),
                counted(self.kinds, "kind"),
            ),
            count => format!("configuration is not valid: {}\n", counted(count, "problem")),
        });
        lines.join("\n")
    }

    fn json(&self) -> Value {
        let all = |found: &[Diagnostic]| found.iter().map(diagnostic).collect::<Value>();
        json!({
            "valid": self.problems.is_empty(),
            "problems": all(&self.problems), "warnings": all(&self.warnings),
            "accounts": self.accounts, "providers": self.providers, "kinds": self.kinds,
        })
    }
}

fn diagnostic(one: &Diagnostic) -> Value {
    json!({
        "file": one.file.to_string_lossy(), "line": one.line, "key": one.key,
        "message": one.message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_come_before_warnings_and_a_count() {
        let problem = Diagnostic::new("a.toml", "engine.lease", "is no duration").at_line(3);
        let warning = Diagnostic::new("a.toml", "api", "is open");
        let report =
            Report { problems: vec![problem], warnings: vec![warning], ..Report::default() };
        let expected = "a.toml:3: engine.lease: is no duration\na.toml: api: warning: is open\n\
                        configuration is not valid: 1 problem\n";
        assert_eq!(report.text(), expected);
        assert_eq!(report.json()["problems"][0]["line"], 3);
    }

    #[test]
    fn a_valid_configuration_is_counted() {
        let report = Report { accounts: 1, providers: 5, kinds: 20, ..Report::default() };
        let expected = "configuration is valid: 1 account, 5 providers, 20 kinds\n";
        assert_eq!(report.text(), expected);
    }
}
