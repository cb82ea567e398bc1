//! The page and the catalog that are made of the table, and the test that they are.
//!
//! `ATTENDANT_WRITE_DOCS=1 cargo test --lib telemetry::events::page` writes them anew.

use std::{fmt::Write as _, path::Path};

use super::{Name, Priority};

const BEFORE: &str = include_str!("page_before.md");

/// The name of a field in the journal.
fn journal_field(field: &str) -> String {
    format!("`ATTENDANT_{}`", field.to_uppercase())
}

fn page() -> String {
    let mut page = BEFORE.to_owned();
    for name in Name::ALL {
        let about = name.about();
        let fields: Vec<String> =
            about.fields.split(' ').filter(|field| !field.is_empty()).map(journal_field).collect();
        let fields = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
        let priority = match (name, about.priority) {
            (Name::JobDead, _) => "warning (4) or err (3)".to_owned(),
            (_, priority) => format!("{} ({})", priority.text(), priority as u8),
        };
        let (text, id, when, todo) = (about.text, about.message_id, about.when, about.todo);
        write!(
            page,
            "\n### {text}\n\n{when}\n\n**Do:** {todo}\n\n- priority: {priority}\n- `MESSAGE_ID`: \
             `{id}`\n- fields: {fields}\n"
        )
        .unwrap();
    }
    page
}

fn catalog() -> String {
    let mut catalog =
        "# What `journalctl -x` says of each event. Made of src/telemetry/events/table.rs.\n"
            .to_owned();
    for name in Name::ALL.iter().filter(|name| name.about().priority != Priority::Debug) {
        let about = name.about();
        let subject = match about.fields {
            fields if fields.contains("job_id") => " @ATTENDANT_KIND@ @ATTENDANT_JOB_ID@",
            fields if fields.contains("credential") => {
                " @ATTENDANT_ACCOUNT@/@ATTENDANT_CREDENTIAL@"
            }
            fields if fields.contains("account") => " @ATTENDANT_ACCOUNT@",
            _ => "",
        };
        let plain = |text: &str| text.replace(" (see [Quiet](#quiet))", "").replace('`', "");
        write!(
            catalog,
            "\n-- {}\nSubject: {}:{subject} {}\nDefined-By: attendant\n\n{}\n\nWhat to do: {}\n",
            about.message_id,
            about.text,
            about.says,
            plain(about.when),
            plain(about.todo),
        )
        .unwrap();
    }
    catalog
}

fn is_up_to_date(path: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("ATTENDANT_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "{} is out of date: ATTENDANT_WRITE_DOCS=1 cargo test --lib telemetry::events::page writes it",
        path.display()
    );
}

#[test]
fn the_page_of_events_is_up_to_date() {
    is_up_to_date("docs/events.md", &page());
}

#[test]
fn the_journals_catalog_is_up_to_date() {
    let catalog = catalog();
    // journald reads a catalog's lines as they are: an entry begins with `-- ` and an id.
    assert_eq!(catalog.matches("\n-- ").count(), catalog.matches("\nSubject: ").count());
    is_up_to_date("systemd/attendant.catalog", &catalog);
}
