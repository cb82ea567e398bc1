//! The demo is what a newcomer sees first: it works, and leaves nothing behind.

use std::time::Duration;

use tokio::{process::Command, time::timeout};

/// Longer than the demo lets itself take.
const PATIENCE: Duration = Duration::from_secs(70);

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_story_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let demo = Command::new(env!("CARGO_BIN_EXE_attendant"))
        .arg("demo")
        .env_clear()
        .env("TMPDIR", folder.path())
        .kill_on_drop(true)
        .output();
    let output = timeout(PATIENCE, demo).await.unwrap().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}:\n{told}{errors}", output.status);
    assert!(told.ends_with("\nEverything worked.\n") && !told.contains("FAIL"), "{told}");
    for shown in ["report.pdf, ", "without a live token: 0\n", "for generations 1, 2, 3\n"] {
        assert!(told.contains(shown), "{shown:?} is not in\n{told}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
